"""`postscan device --wsscan` and `--escl`: their options, and which simulated scanner serves."""
