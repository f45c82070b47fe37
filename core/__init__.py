"""The engine of postscan: jobs, filters, cancellation. It knows no HTTP and no XML."""
