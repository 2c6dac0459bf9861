# What compilers and linters say of the sources, and what fuzzers find in them.
ARM := -mthumb -Os -ffunction-sections
M0 := -mcpu=cortex-m0plus
M4 := -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
M7 := -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16
M55 := -mcpu=cortex-m55 -mfloat-abi=hard

warnings:
	@for compiler in "$(CC) -O2" "clang -O2" \
	    "arm-none-eabi-gcc $(ARM) $(M0)" "arm-none-eabi-gcc $(ARM) $(M4)" \
	    "arm-none-eabi-gcc $(ARM) $(M7)" "arm-none-eabi-gcc $(ARM) $(M55)"; do \
	    command -v $${compiler%% *} >/dev/null || { echo "not installed: $$compiler"; continue; }; \
	    echo "$$compiler"; \
	    case $$compiler in arm*) posix= ;; *) posix="$(POSIX)" ;; esac; \
	    for source in $(SOURCES) $$posix; do \
	        $$compiler $(COMPILE) $(WARNINGS) -fsyntax-only $$source || exit 1; \
	    done; \
	done
