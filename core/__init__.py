"""The door to firmware/core: the C99 code of a device, loaded as a library of this machine."""
