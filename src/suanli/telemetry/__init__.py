"""What machines have and how busy they are: discovery, sampling, history, alert rules, metrics and logs."""
