"""The engine: CAS, action cache, scheduler and workers that speak NativeLink's configs and wire protocols."""
