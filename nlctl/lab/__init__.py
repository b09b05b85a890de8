"""A practice cluster with faults to put into it: each is named by the doctor, and that is tested."""
