"""`suanli demo`: a day of mixed work on 64 simulated accelerators, in less than a minute."""
