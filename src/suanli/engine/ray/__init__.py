"""Plans carried out on Ray.

    controller: RayEngine ──pipe── driver ──┐             a process of its own, so that Ray's end is not ours
                                           hub            one detached actor on the head
    on each node: supervisor per worker ────┘             heartbeat up, order down; detached, in the gang's group
                  shim ── the user's process tree

Only `driver`, `keeper`, `hub`, `groups`, `journal`, `supervisor` and `agent` import Ray; none of them runs in the
controller's process.
"""
