"""One pure step from what is to what shall be, and why the rest must wait. The controller and the simulator call it."""
