"""What people read: sentences, tables, and the offline page."""
