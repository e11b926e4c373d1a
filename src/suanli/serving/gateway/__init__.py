"""Suanli's own way for requests to replicas: light processes that go on while the controller is away."""
