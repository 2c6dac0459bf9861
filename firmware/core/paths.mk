# Kernels that are compiled once for each instruction set, and chosen when they run.
PATH_SOURCES := $(wildcard src/paths/*.c)
PATH_OBJECTS :=
