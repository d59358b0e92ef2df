# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. Objects of each variant live in a folder of their own below build/,
# so a sanitizer build never disturbs the normal one.

VERSION   := 0.1.0
# The releases that are built in: what the programs say of themselves, and what the packages adopt
# as factory releases.
RELEASE_A ?= A202108010001
RELEASE_B ?= B202108010001

VARIANT ?= normal
B       ?= build/$(VARIANT)
CC      ?= gcc
V       ?=
Q       := $(if $(V),,@)

PREFIX      ?= /usr
SYSCONFDIR  ?= /etc
LIBDIR      ?= $(PREFIX)/lib
UNITDIR     ?= $(PREFIX)/lib/systemd/system
DESTDIR     ?=

PROGRAMS := updaterd updaterd-rescue bmsd bmsd-mqtt bms-boardsim queryd queryctl bms-release
PARTS    := common delta tuf updaterd bmsd queryd release

# ---- flags -------------------------------------------------------------------------------------

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wformat=2 -Wconversion -Wsign-conversion -Wshadow \
	-Wimplicit-fallthrough -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wwrite-strings \
	-Wpointer-arith -Wcast-qual -Wvla -Wswitch-enum -Wdate-time -Werror=format-security \
	-Werror=implicit -Werror=incompatible-pointer-types -Werror=int-conversion
# The OpenSSF compiler hardening guide, as far as gcc 12 and clang 14 have it.
HARDENING := -fstack-protector-strong -fstack-clash-protection -fno-delete-null-pointer-checks \
	-fno-strict-overflow -fno-strict-aliasing -ftrivial-auto-var-init=zero -fPIE
HARDENING_LD := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen \
	-Wl,--as-needed -Wl,--no-copy-dt-needed-entries
ARCH_IS_X86 := $(filter x86_64,$(shell uname -m))
HARDENING += $(if $(ARCH_IS_X86),-fcf-protection=full)
ifeq ($(findstring clang,$(notdir $(CC))),)
WARNINGS += -Wformat-signedness -Wtrampolines -Wbidi-chars=any -Wlogical-op -Wduplicated-cond -Wjump-misses-init
else
HARDENING += -Wno-unused-command-line-argument -enable-trivial-auto-var-init-zero-knowing-it-will-be-removed-from-clang
endif

ifeq ($(VARIANT),asan)
VARIANT_FLAGS := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else ifeq ($(VARIANT),coverage)
VARIANT_FLAGS := -O0 --coverage
else ifeq ($(VARIANT),fuzz)
VARIANT_FLAGS := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
else
HARDENING += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif

# Warnings are errors for developers; a packager's newer compiler must not break the build.
WERROR ?= -Werror
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(WERROR) $(HARDENING) \
	-ffile-prefix-map=$(CURDIR)=. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude \
	-DPROJECT_VERSION='"$(VERSION)"' $(VARIANT_FLAGS)
COMPILE = $(CC) $(CPPFLAGS) $(CFLAGS) $(ALL_CFLAGS)

LIBS_common   := -lcjson -lssl -lcrypto -llzma -linih -lcurl
LIBS_tuf      := -lcjson -lm
LIBS_updaterd := -lsystemd
LIBS_bmsd     := -lmosquitto -lsystemd -lm -pthread
LIBS_queryd   := -lmicrohttpd -lsqlite3 -lsystemd
LIBS_release  := -ldivsufsort
LIBS_delta    := -ldivsufsort

# ---- sources and archives ----------------------------------------------------------------------

# Every part is one archive of its modules; the files that hold a main() stay out of it.
MAINS := src/updaterd/main.c src/updaterd/rescue/main.c src/bmsd/main.c \
	src/bmsd/mqtt/main.c src/bmsd/sim/boardsim_main.c src/queryd/main.c src/queryd/queryctl_main.c src/release/main.c
sources  = $(sort $(shell find src/$(1) -name '*.c' 2>/dev/null))
MODULES_OF = $(filter-out $(MAINS) src/%/release_version.c,$(call sources,$(1)))
objects  = $(patsubst %.c,$(B)/obj/%.o,$(1))

ARCHIVES := $(foreach p,$(PARTS),$(B)/lib$(p).a)
BINARIES := $(addprefix $(B)/bin/,$(PROGRAMS))

.PHONY: all
all: $(BINARIES) $(B)/bin/tuf-client $(B)/bin/fetch-driver compile_commands.json ## build every program into build/normal/bin

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(COMPILE) -MMD -MP -c -o $@ $<

define archive_rule
$(B)/lib$(1).a: $(call objects,$(call MODULES_OF,$(1)))
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  AR      $$@")
	$$(Q)rm -f $$@ && ar rcsD $$@ $$^
endef
$(foreach p,$(PARTS),$(eval $(call archive_rule,$(p))))

# The release version is compiled in through one small file, so that another version of a program
# differs in that one object.
define release_version_rule
$(B)/obj/$(1)-release-$(2).o: src/$(1)/release_version.c
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  CC      $$< ($(2))")
	$$(Q)$$(COMPILE) -DRELEASE_VERSION='"$(2)"' -c -o $$@ $$<
endef
$(eval $(call release_version_rule,updaterd,$(RELEASE_A)))
$(eval $(call release_version_rule,bmsd,$(RELEASE_B)))

# link_rule: output, main, part, release version object
define link_rule
$(1): $(call objects,$(2)) $(4) $(B)/lib$(3).a $(B)/libdelta.a $(B)/libtuf.a $(B)/libcommon.a
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  LD      $$@")
	$$(Q)$$(COMPILE) $$(LDFLAGS) $$(HARDENING_LD) -o $$@ $$^ $(LIBS_$(3)) $(LIBS_tuf) $(LIBS_common)
endef
TREE_A := $(B)/tree/$(RELEASE_A)
TREE_B := $(B)/tree/$(RELEASE_B)
$(eval $(call link_rule,$(TREE_A)/bin/updaterd,src/updaterd/main.c,updaterd,$(B)/obj/updaterd-release-$(RELEASE_A).o))
$(eval $(call link_rule,$(TREE_B)/bin/bmsd,src/bmsd/main.c,bmsd,$(B)/obj/bmsd-release-$(RELEASE_B).o))
$(eval $(call link_rule,$(TREE_B)/bin/bmsd-mqtt,src/bmsd/mqtt/main.c,bmsd,$(B)/obj/bmsd-release-$(RELEASE_B).o))
$(eval $(call link_rule,$(B)/bin/bms-boardsim,src/bmsd/sim/boardsim_main.c,bmsd,))
$(eval $(call link_rule,$(B)/bin/queryd,src/queryd/main.c,queryd,))
$(eval $(call link_rule,$(B)/bin/queryctl,src/queryd/queryctl_main.c,queryd,))
$(eval $(call link_rule,$(B)/bin/bms-release,src/release/main.c,release,))
# For tests only, never installed: the TUF client as the public conformance suite drives one.
$(eval $(call link_rule,$(B)/bin/tuf-client,tests/tuf-client.c,tuf,))
# And the fetch of one program file, to be killed.
$(eval $(call link_rule,$(B)/bin/fetch-driver,tests/fetch-driver.c,updaterd,))

# The rescue program is static, and made of nothing but what is named here. (The sanitizers cannot be
# linked statically.)
RESCUE_MODULES := $(addprefix src/,$(addsuffix .c,common/crc32 common/fsutil common/log common/version \
	updaterd/installer/journal updaterd/installer/swap updaterd/programs updaterd/rescue/rescue))
$(B)/librescue.a: $(call objects,$(RESCUE_MODULES))
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AR      $@")
	$(Q)rm -f $@ && ar rcsD $@ $^
$(B)/bin/updaterd-rescue: $(call objects,src/updaterd/rescue/main.c) $(B)/librescue.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(COMPILE) $(LDFLAGS) $(if $(filter asan fuzz,$(VARIANT)),$(HARDENING_LD),$(HARDENING_LD:-pie=-static-pie)) -o $@ $^

$(B)/bin/updaterd: $(TREE_A)/bin/updaterd
	@mkdir -p $(@D)
	$(Q)cp -f $< $@
$(B)/bin/bmsd $(B)/bin/bmsd-mqtt: $(B)/bin/%: $(TREE_B)/bin/%
	@mkdir -p $(@D)
	$(Q)cp -f $< $@

# Another release of bmsd, for tests that upgrade it.
NEXT_B := B203012319999
$(eval $(call release_version_rule,bmsd,$(NEXT_B)))
$(eval $(call link_rule,$(B)/bin/bmsd-next,src/bmsd/main.c,bmsd,$(B)/obj/bmsd-release-$(NEXT_B).o))

.PHONY: tree-A tree-B
tree-A: $(TREE_A)/bin/updaterd ## the directory of program A's release RELEASE_A, for bms-release add
	@echo $(TREE_A)
tree-B: $(TREE_B)/bin/bmsd $(TREE_B)/bin/bmsd-mqtt ## the directory of program B's release RELEASE_B, for bms-release add
	@echo $(TREE_B)

-include $(shell find $(B)/obj $(B)/test -name '*.d' 2>/dev/null)

compile_commands.json: Makefile $(shell find src include tests -name '*.[ch]')
	@tools/compile-commands "$$($(MAKE) -s --no-print-directory print-compile CC=clang)" > $@.new && mv $@.new $@

# ---- tests -------------------------------------------------------------------------------------

# tests/unit/<part>/test_<module>.c, linked with the archives of its part. A test that replaces
# functions names them here: WRAP_<part>_test_<module> := fsync rename
include tests/unit/wraps.mk

UNIT_SOURCES := $(sort $(wildcard tests/unit/*/test_*.c))
UNIT_TESTS   := $(patsubst tests/unit/%.c,$(B)/test/unit/%,$(UNIT_SOURCES))

define unit_rule
$(B)/test/unit/$(1)/test_$(2): tests/unit/$(1)/test_$(2).c $(B)/lib$(1).a $(B)/libdelta.a $(B)/libtuf.a $(B)/libcommon.a \
		$(if $(filter updaterd,$(1)),$(B)/obj/updaterd-release-$(RELEASE_A).o) $(if $(filter bmsd,$(1)),$(B)/obj/bmsd-release-$(RELEASE_B).o)
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  TEST    $$<")
	$$(Q)$$(COMPILE) -Itests/lib -MMD -MP -MT $$@ -MF $$@.d $$(LDFLAGS) $$(HARDENING_LD) \
		$$(foreach w,$$(WRAP_$(1)_test_$(2)),-Wl,--wrap=$$(w)) -o $$@ $$(filter %.c %.o,$$^) $$(filter %.a,$$^) \
		-lcmocka $$(LINK_$(1)_test_$(2)) $$(LIBS_$(1)) $$(LIBS_tuf) $$(LIBS_common)
endef
$(foreach t,$(UNIT_SOURCES),$(eval $(call unit_rule,$(notdir $(patsubst %/,%,$(dir $(t)))),$(patsubst test_%.c,%,$(notdir $(t))))))

# The attacks of tests/lib/hostile_repo.h as directories, for tests/system/070-attacks.sh.
$(B)/test/bin/hostile-repo: tests/system/hostile-repo.c \
		$(foreach o,tuf_repo hostile_repo hostile_variants,$(B)/obj/tests/lib/$(o).o) $(B)/libtuf.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(COMPILE) -Itests/lib -MMD -MP -MT $@ -MF $@.d $(LDFLAGS) $(HARDENING_LD) -o $@ $^ \
		-lcmocka $(LIBS_tuf) $(LIBS_common)

# tests/fuzz/fuzz_<name>.c: one target, linked with libFuzzer by `make fuzz`, and here with a program
# that runs the inputs kept in tests/fuzz/corpus/<name>.
FUZZ_NAMES   := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_HELPERS := $(B)/obj/tests/fuzz/metadata.o $(B)/obj/tests/lib/tuf_repo.o
FUZZ_TARGETS := $(patsubst %,$(B)/fuzz/fuzz_%,$(FUZZ_NAMES))
UNIT_TESTS   += $(patsubst %,$(B)/test/unit/fuzz/test_%,$(FUZZ_NAMES))
$(B)/obj/tests/fuzz/%.o $(B)/obj/tests/lib/%.o: CPPFLAGS += -Itests/lib

define fuzz_rule
$(2): $(B)/obj/tests/fuzz/fuzz_$(1).o $(3) $(FUZZ_HELPERS) $(foreach p,bmsd delta tuf common,$(B)/lib$(p).a)
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  TEST    tests/fuzz/fuzz_$(1).c")
	$$(Q)$$(COMPILE) -Itests/lib -DFUZZ_TARGET='"$(1)"' $$(LDFLAGS) $$(HARDENING_LD) $(4) -o $$@ \
		$$(filter %.c %.o,$$^) $$(filter %.a,$$^) -lcmocka $$(LIBS_bmsd) $$(LIBS_tuf) $$(LIBS_common)
endef
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(f),$(B)/test/unit/fuzz/test_$(f),tests/fuzz/replay.c,)))
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(f),$(B)/fuzz/fuzz_$(f),,-fsanitize=fuzzer)))

# Cuts of the installer at every call and every block (docs/TESTING.md). The objects of the driver are
# kept, since each mutant is linked with them.
CRASH_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(sort $(wildcard tests/crash/*.c))) \
	$(B)/obj/tests/lib/gateway.o $(B)/obj/tests/lib/tuf_repo.o $(B)/obj/updaterd-release-$(RELEASE_A).o
CRASH_ARCHIVES := $(foreach p,updaterd delta tuf common,$(B)/lib$(p).a)
CRASH_LINK = $(COMPILE) $(LDFLAGS) $(HARDENING_LD) -Wl,--wrap=conf_effective_time_sec
CRASH_LIBS := -lcmocka $(LIBS_delta) $(LIBS_updaterd) $(LIBS_tuf) $(LIBS_common)
$(B)/obj/tests/crash/%.o: CPPFLAGS += -Itests/lib
$(B)/test/crash: $(CRASH_OBJECTS) $(CRASH_ARCHIVES)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CRASH_LINK) -o $@ $^ $(CRASH_LIBS)

.PHONY: check check-unit check-integration check-system check-asan unit-tests
check: deps ## install what is needed, build, run every test (one command on a fresh machine)
	$(Q)$(MAKE) --no-print-directory check-all

.PHONY: check-all
check-all:
	$(Q)tests/run-all

unit-tests: $(UNIT_TESTS)

check-unit: $(UNIT_TESTS) ## unit tests (cmocka); PART=tuf runs one part only
	$(Q)tests/run-unit $(B)/test/unit $(PART)

check-integration: all $(B)/bin/bmsd-next ## the programs together on this machine: TLS, repository, query server, nginx; T=, JOBS=
	$(Q)tests/run-integration $(B)/bin $(T)

check-system: ## gateways with real systemd in containers; needs root. T=pattern picks tests, JOBS=1: one at a time
	$(Q)tests/run-system $(T)

check-asan: ## unit and integration tests under AddressSanitizer and UBSan
	$(Q)$(MAKE) --no-print-directory -Otarget -j2 VARIANT=asan check-unit check-integration

.PHONY: check-day check-kills
check-day: all ## bmsd for a day with four packs and faults, in accelerated time (15 minutes); DAY_HOURS=24, SPEED=100, SEED=
	$(Q)tests/long/day $(B)/bin
check-kills: all $(B)/bin/bmsd-next ## bmsd killed and upgraded under load, KILLS=500 times (a quarter of an hour); SEED=
	$(Q)KILLS=$(or $(KILLS),500) tests/long/kills $(B)/bin

.PHONY: check-hundred
check-hundred: ## a hundred upgrades in a row, A, B, A, B ..., and what they leave behind (root; ten minutes); HUNDRED=
	$(Q)HUNDRED=$(or $(HUNDRED),100) SCRIPT_TIMEOUT_SEC=7200 tests/run-system 097

.PHONY: machine machine-deps
machine: all deb ## whole emulated machines, upgraded while their power is cut at random (root; half an hour and more); RUNS=20, SEED=
	$(Q)tests/machine/run
machine-deps: ## install QEMU, which only `make machine` needs, with apt (as root)
	$(Q)tools/deps machine

.PHONY: check-estimator
check-estimator: $(B)/test/unit/bmsd/test_estimator_cycles ## 200 drive cycles of simulated packs, and how far off the state of charge was; CYCLES=20 for each of 10, SEED=
	$(Q)$(if $(CYCLES),CYCLES=$(CYCLES)) $(if $(SEED),SEED=$(SEED)) $<

.PHONY: check-bytes
check-bytes: $(B)/test/unit/tuf/test_bytes ## every change of one byte of a small repository's files (some minutes)
	$(Q)tests/run-bytes $<

# The same for what bmsd keeps.
$(B)/test/keeping: $(B)/obj/tests/keeping/keeping.o $(B)/obj/tests/crash/disk.o \
		$(B)/obj/tests/crash/filesystem.o $(B)/libbmsd.a $(B)/libcommon.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(COMPILE) $(LDFLAGS) $(HARDENING_LD) -o $@ $^ $(LIBS_bmsd) $(LIBS_common)
.PHONY: check-keeping
check-keeping: $(B)/test/keeping ## cut the power at block writes while bmsd keeps states, events and history (root; ten minutes); KEEPING_STATES=, 0: at every one; SEED=
	$(Q)for fs in ext4 xfs btrfs; do \
		$< --fs=$$fs --states=$(or $(KEEPING_STATES),1000) --seed=$(or $(SEED),1) || [ $$? = 77 ] || exit 1; done
.PHONY: check-faults
check-faults: $(B)/bin/updaterd $(B)/bin/bms-release ## every network fault in every phase, and FAULT_RUNS=200 random schedules; root; VARIANT=asan
	$(Q)tests/fault/run $(B)/bin

.PHONY: check-crash crash crash-mutants crash-driver
crash-driver: $(B)/test/crash $(B)/test/keeping
check-crash: $(B)/test/crash $(B)/test/keeping ## a sample of `make crash` and of check-keeping, in about a minute; SEED=, STATES=, T="death errors ext4 xfs btrfs double keeping"
	$(Q)tests/crash/run $< sample
crash: $(B)/test/crash ## cut the installer at every call, and the power at 50,000 blocks and more (root; hours; SEED=, STATES=)
	$(Q)tests/crash/run $< all
	$(Q)$(MAKE) --no-print-directory crash-mutants
crash-mutants: $(B)/test/crash ## the same with one thing left out of the installer at a time: each must be noticed; T=pattern
	$(Q)COMPILE='$(COMPILE)' LINK='$(CRASH_LINK)' LIBS='$(CRASH_LIBS)' OBJECTS='$(CRASH_OBJECTS)' \
		ARCHIVES='$(CRASH_ARCHIVES)' tests/crash/run-mutants $(B) $(T)

.PHONY: fuzz fuzz-targets
fuzz: ## fuzz every target for FUZZ_SEC=60 seconds, or FUZZ_RUNS=n times, as many at a time as there are processors; T=name picks
	$(Q)$(MAKE) --no-print-directory VARIANT=fuzz B=build/fuzz CC=clang fuzz-targets
	$(Q)tests/fuzz/run build/fuzz/fuzz $(T)

fuzz-targets: $(FUZZ_TARGETS)

.PHONY: demo
demo: deps ## the main job, start to end, in a container: upgrade, bad release, roll back
	$(Q)tests/system/demo $(DEMO_ARGS)

.PHONY: check-fresh
check-fresh: ## demo and check as the first commands on a fresh Debian root (root; about half an hour)
	$(Q)tests/fresh-root "make demo"
	$(Q)tests/fresh-root "make check"

.PHONY: coverage
coverage: ## line and branch coverage of the unit tests, for each part, and for src/tuf file by file
	$(Q)find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	$(Q)$(MAKE) --no-print-directory VARIANT=coverage B=build/coverage check-unit
	$(Q)tests/run-coverage build/coverage

# Programs of the measurements. Those that measure stand alone; delta is our own module.
BENCH_PROGRAMS := $(addprefix $(B)/bench/,link measure delta)
$(B)/bench/link $(B)/bench/measure: $(B)/bench/%: $(B)/obj/tests/bench/%.o
$(B)/bench/delta: $(B)/obj/tests/bench/delta.o $(B)/libdelta.a $(B)/libcommon.a
$(B)/bench/delta: BENCH_LIBS := $(LIBS_delta) $(LIBS_common)
$(BENCH_PROGRAMS):
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(COMPILE) $(LDFLAGS) $(HARDENING_LD) -o $@ $^ $(BENCH_LIBS)

.PHONY: bench bench-transfer bench-delta bench-swap bench-bmsd bench-deps bench-report
bench: all $(B)/bench/measure $(B)/bench/link ## measurements on a gateway, one a line: name, value, unit (root); T="checks slow" picks
	$(Q)tests/bench/run $(B)/bench $(T)
bench-transfer: $(B)/bin/queryd $(B)/bin/bms-release $(B)/bin/fetch-driver $(B)/bench/link ## downloads over slow links, beside curl and aria2 (10 minutes; BENCH_QUICK=1, BENCH_LONG=1)
	$(Q)tests/bench/transfer $(B)
bench-delta: $(B)/bench/delta $(B)/bench/measure ## patches between Debian releases, beside bsdiff and others (BENCH_LONG=1: 46 MB too)
	$(Q)tests/bench/delta $(B)
bench-swap: all deb ## what a swap costs: downtime of B, fsyncs, bytes written, beside RAUC (root)
	$(Q)tests/bench/swap
bench-bmsd: all ## memory and processor time of bmsd with one pack (3 minutes)
	$(Q)tests/bench/bmsd $(B)/bin
bench-deps: ## install the packages that only the measurements need, with apt (as root)
	$(Q)tools/deps bench
bench-report: ## write docs/PERFORMANCE.md's tables anew from docs/figures
	$(Q)tests/bench/report docs/PERFORMANCE.md docs/figures/*.tsv

# ---- lint --------------------------------------------------------------------------------------

.PHONY: lint format
lint: ## every static check (ten minutes of a processor); LINT_ONLY=, LINT_SKIP="analyzer clang-analyzer" leaves out the slow ones
	$(Q)tools/lint

format: ## rewrite the sources in the project's format
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

# For tools/lint: how a file is compiled.
.PHONY: print-compile
print-compile:
	@echo '$(subst ','\'',$(COMPILE))'

# ---- packages and installation -----------------------------------------------------------------

.PHONY: deps
deps: ## install every package that building and testing needs, with apt (as root)
	$(Q)tools/deps

.PHONY: deb
deb: ## build the Debian packages into build/deb
	$(Q)tools/build-deb

.PHONY: install
install: all ## install programs, units, configuration and manual below DESTDIR
	$(Q)tools/install "$(DESTDIR)" "$(PREFIX)" "$(SYSCONFDIR)" "$(UNITDIR)" "$(B)"

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build compile_commands.json

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-zA-Z_-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.DELETE_ON_ERROR:
