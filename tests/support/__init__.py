"""What tests share: slow references, makers of data."""
