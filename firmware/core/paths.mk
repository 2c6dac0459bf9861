# Kernels that are compiled once for each instruction set, and chosen when they run.
PATH_SOURCES := $(wildcard src/paths/*.c)
PATH_OBJECTS := $(PATH_SOURCES:src/%.c=$(BUILD)/%.o)

ifneq (,$(filter x86_64%,$(shell $(CC) -dumpmachine)))
HOST += -DMF_WITH_X86_PATHS
WIDE := -DMF_WITH_X86_PATHS -mavx512f -mfma
$(BUILD)/paths/avx2.o: PATH_FLAGS := -mavx2 -mfma
$(BUILD)/paths/avx512.o: PATH_FLAGS := -mavx512f -mfma -mprefer-vector-width=512
endif
