"""The sources that postscan ships. They import `postscan.plugins` and nothing else of postscan."""
