"""One-shot placement problems: seven ways to solve one, each answer with its bound and gap."""
