"""What runs inside a replica: a model behind HTTP, in the shape of OpenAI's API. `docs/runtimes.md` is its page."""
