"""The registry: named, numbered, content-addressed models; what may enter, where files lie, and how they travel."""
