"""The Docker Engine: what it is asked and what it says, for the backend that runs clusters there and for the doctor."""
