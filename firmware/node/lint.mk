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

# Both linters over this and the core.  A source is read again when it, a header or the list of
# exceptions has changed: from nothing it takes a minute of processor time (make -j).
LINTED := $(SOURCES) $(POSIX) $(wildcard $(CORE)/src/*/*.c)
LINT_HEADERS := $(HEADERS) $(wildcard $(CORE)/src/*/*.h)
LINT := $(BUILD)/lint
STAMPS := $(patsubst ../%,%,$(LINTED))
STAMPS := $(STAMPS:%.c=$(LINT)/%.read)

lint: $(if $(shell command -v clang-tidy),$(STAMPS),no-clang-tidy) \
    $(if $(shell command -v cppcheck),$(LINT)/cppcheck.read,no-cppcheck)

no-%:
	@echo "not installed: $*"

TIDY = clang-tidy --quiet $< -- $(COMPILE) 2>$@.log || { cat $@.log >&2; exit 1; }
$(LINT)/core/%.read: $(CORE)/%.c $(LINT_HEADERS) $(ROOT)/.clang-tidy
	@mkdir -p $(@D)
	@$(TIDY)
	@touch $@
$(LINT)/%.read: %.c $(LINT_HEADERS) $(ROOT)/.clang-tidy
	@mkdir -p $(@D)
	@$(TIDY)
	@touch $@

$(LINT)/cppcheck.read: $(LINTED) $(LINT_HEADERS) ../cppcheck.txt
	@mkdir -p $(LINT)/cppcheck
	@cppcheck --quiet --error-exitcode=1 --std=c99 --enable=warning,style,performance,portability \
	    --suppressions-list=../cppcheck.txt --cppcheck-build-dir=$(LINT)/cppcheck \
	    $(filter -I%,$(COMPILE)) $(LINTED)
	@touch $@

# A play (tests/fuzz/mqtt.c) for the client, under the sanitizers: libFuzzer writes new ones.
FUZZ_SECONDS ?= 600
PLAYS := $(ROOT)/tests/fuzz
MQTT_ALONE := $(MQTT) $(CORE)/src/train/random.c
fuzz:
	@mkdir -p $(BUILD)/found
	clang $(COMPILE) $(CHECKED) -fsanitize=fuzzer $(PLAYS)/mqtt.c $(MQTT_ALONE) -o $(BUILD)/fuzz
	$(BUILD)/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -timeout=5 -rss_limit_mb=512 \
	    -artifact_prefix=$(BUILD)/found/ -print_final_stats=1 $(BUILD)/found $(PLAYS)/mqtt

# The plays that are kept, once more, with any compiler.
replay:
	@mkdir -p $(BUILD)
	$(CC) $(COMPILE) $(CHECKED) $(PLAYS)/mqtt.c $(PLAYS)/replay.c $(MQTT_ALONE) -o $(BUILD)/replay
	$(BUILD)/replay $(PLAYS)/mqtt/*
