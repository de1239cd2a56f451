"""What is said in a file: written out, and asked about."""
