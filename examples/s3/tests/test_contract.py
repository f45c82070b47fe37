"""The filter under the contract of filters.

In a file of its own, before the other one: the kit forks this process, and the threads of obstore, which begin with the
first request, are not in the copy.
"""

from pathlib import Path

from PIL import Image
from s3_upload import S3Upload

from postscan.plugins.testing import assert_filter_contract


def test_it_keeps_the_contract(settings: dict[str, str], tmp_path: Path) -> None:
    """Run, cancelled and run again, it has no defects."""
    Image.new("L", (200, 300), 250).save(tmp_path / "1.png")
    assert_filter_contract(S3Upload(), [tmp_path / "1.png"], settings=settings)
