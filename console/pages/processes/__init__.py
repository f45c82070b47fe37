"""Pages of the scan processes: list, form, XML, check, test page and removal."""
