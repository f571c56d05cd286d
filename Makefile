# make          build bin/davit (static; needs Go, gcc and libseccomp's static library: `make deps`)
# make demo     install what is missing, build, and show a container from the inside
# make test     install what is missing, build, and run the everyday tests (as root: all of them)
# make lint     run the linters for Go, C and shell
# make bench    measure davit beside crun, runc and the floor (QUICK=1: two minutes). KERNEL=sid does it
#               on that kernel, in an emulated machine, and counts instructions (half an hour)
# make test-conformance
#               run runtime-tools' programs with davit, runc and crun (QUICK=1: not in a virtual machine)
# make test-engines
#               run real engines with davit, runc and crun
# make test-vm  run the tests that need virtual machines: all cgroup v2 controllers, other kernels,
#               systemd. KERNELS=bookworm: only with that kernel, as .ci/run does. ARCH=arm64: on that
#               machine, emulated
# make test-criu
#               test checkpoint and restore: kills at every moment; pre-dumps and lazy pages in a
#               virtual machine
# make test-plain
#               run the quick part of the tests with a davit that is built without the overlay
# make deb      make a Debian package in bin
# make test-package
#               test that package: lintian, manual pages, completion in bash, zsh and fish on a
#               terminal. INSTALL=1 also installs the .deb and the .rpm with apt, rpm, dnf5 and zypper,
#               runs a container there, and removes them again
# make test-upgrade
#               replace davit by another version, and back, while its containers run (OLD=COMMIT)
# make test-walk
#               do what a newcomer does: run each command of README.md and docs/engines.md on a fresh
#               Debian 12 (QUICK=1: without make test)
# make release  make what is published, in dist: tarballs, packages and bills of materials of all machines
# make test-machines
#               test plans, seccomp, device programs and the stage's checks of all machines, under
#               qemu-user
# make fuzz     run each fuzzer for ten minutes (SECONDS=60: for one minute)
# make test-race
#               make containers for ten minutes while names vanish under davit (SECONDS=3600: an hour)
# make install, make uninstall
#               PREFIX=/usr/local DESTDIR=
#
# GO=/path/to/go       the Go that builds and tests; all scripts take it
# OVERLAY=no           build with Go's runtime as it is (docs/go-runtime.md)
# ARCH=arm64           build for another machine, to bin/arm64/davit, with Debian's cross compiler
#                      (docs/packaging.md): amd64, arm64, riscv64, ppc64le, s390x or loong64.
#                      make all-arch: for each of them
# GOARCH=arm64 CC=aarch64-linux-gnu-gcc
#                      the same with your own compiler and libseccomp
# V=1                  print all commands

comma   := ,
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
GO      ?= go
Q       := $(if $(V),,@)
say      = @$(if $(V),:,printf '  %-8s%s\n' '$(1)' '$(2)')

# The scripts that make calls use $(GO), too, some of them from other directories.
ifneq ($(findstring /,$(GO)),)
override GO := $(abspath $(GO))
endif
export GO

VERSION := $(shell cat VERSION)
# A release tarball has no .git; the packager may then set COMMIT=.
COMMIT  ?= $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)

# With these settings the same sources give the same bytes in every directory.
export CGO_ENABLED := 0
export GOAMD64     := v1
export GOARM64     := v8.0
export GORISCV64   := rva20u64
export GOPPC64     := power8
GOFLAGS_BUILD := -trimpath -buildvcs=false
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# The version of libseccomp, as its header says.
LIBSECCOMP = $(shell echo version SCMP_VER_MAJOR SCMP_VER_MINOR SCMP_VER_MICRO | $(CC) -E -P -x c -include seccomp.h - 2>/dev/null | \
	sed -n 's/^version \([0-9]*\) \([0-9]*\) \([0-9]*\)/\1.\2.\3/p')
# auto: build with the overlay where it fits this Go, otherwise without it and with a warning. no:
# build without it.
OVERLAY ?= auto
# If set, only these parts of the overlay are used; the benchmark compares them.
PARTS   ?=
# The path of the davit that is built.
DAVIT_OUT ?= $(if $(ARCH),bin/$(ARCH)/davit,bin/davit)

# The C is compiled for the machine that Go builds for, and its files are named after that machine.
# So davit never embeds another machine's.
MACHINES := amd64 arm64 riscv64 ppc64le s390x loong64
HOSTARCH := $(shell $(GO) env GOHOSTARCH)
GOARCH   := $(or $(ARCH),$(GOARCH),$(shell $(GO) env GOARCH))
export GOARCH
ifeq ($(filter $(GOARCH),$(MACHINES)),)
$(error davit is for 64-bit machines only: $(MACHINES); not for $(GOARCH))
endif
# build/cross knows the compiler for a machine, and fetches the machine's libseccomp.
ifneq ($(filter-out $(HOSTARCH),$(ARCH)),)
CC := build/cross cc $(ARCH)
endif

WARNINGS := -std=gnu11 -Wall -Wextra -Werror -Wshadow -Wvla -Wundef -Wpointer-arith \
            -Wstrict-prototypes -Wold-style-definition
SMALL    := -Os -fno-asynchronous-unwind-tables -fno-ident -ffile-prefix-map=$(CURDIR)=. \
            -ffunction-sections -fdata-sections -static -Wl,--gc-sections -s
# The stage has no libc and no start files, two segments, and as few pages as possible. With
# noseparate-code, riscv64's linker would make a single segment, writable and executable.
ALONE    := -nostdlib -no-pie -fno-pie -fno-stack-protector -fcf-protection=none \
            -fno-tree-loop-distribute-patterns -Wl,-z,$(if $(filter riscv64,$(GOARCH)),,no)separate-code -Wl,-z,norelro \
            -Wl,-z,noexecstack -Wl,--build-id=none
# The largest pages of a machine's kernels. A segment with a smaller alignment cannot be mapped
# there. Where that alignment costs only unused addresses, kernels with 4K, 16K and 64K pages run
# the same program.
PAGE_amd64   := 4096
PAGE_arm64   := 65536
PAGE_riscv64 := 4096
PAGE_ppc64le := 65536
PAGE_s390x   := 4096
PAGE_loong64 := 65536
PAGES        := -Wl,-z,max-page-size=$(PAGE_$(GOARCH))
STAGE_CFLAGS    := $(WARNINGS) -Wmissing-prototypes $(SMALL) $(PAGES) $(ALONE) -ffreestanding
# The compiler's build ID is part of the key of cached filters.
COMPILER_CFLAGS := $(WARNINGS) -Wmissing-prototypes $(SMALL) $(PAGES) -Wl,--build-id=sha1

STAGE      := nsenter/stage_$(GOARCH).elf
STAGE_C    := $(wildcard nsenter/stage/*.c)
COMPILER   := internal/seccomp/compiler_$(GOARCH).elf
COMPILER_C := $(wildcard internal/seccomp/compiler/*.c)
ELFS       := $(STAGE) $(COMPILER)

# These are the two bytes of e_machine in elf(5). They are checked because $(CC) may compile for
# another machine than GOARCH.
EM_amd64   := 3e00
EM_arm64   := b700
EM_riscv64 := f300
EM_ppc64le := 1500
EM_s390x   := 0016
EM_loong64 := 0201
IS_FOR_GOARCH = @test "$$(od -An -tx1 -j18 -N2 $@ | tr -d ' ')" = "$(EM_$(GOARCH))" || \
	{ echo "$@: $(CC) does not compile for GOARCH=$(GOARCH): give ARCH=$(GOARCH), or CC= with GOARCH=" >&2; exit 1; }

.PHONY: all elfs fuzz bench clean deb demo deps generate install uninstall lint messages test test-conformance test-criu test-engines test-faults test-gorunc test-peers test-race test-soak \
	test-plain test-vm verbs
.DELETE_ON_ERROR:

all: $(DAVIT_OUT)
elfs: $(ELFS)

# Build davit for each machine, as bin/MACHINE/davit.
.PHONY: all-arch
all-arch:
	@for arch in $(MACHINES); do $(MAKE) --no-print-directory ARCH=$$arch all || exit 1; done

.PHONY: $(DAVIT_OUT) # go build knows better than make whether it is up to date
$(DAVIT_OUT): $(ELFS)
	$(call say,GO,$@)
	$(Q)overlay=$$(OVERLAY=$(OVERLAY) PARTS='$(PARTS)' build/overlay bin/.overlay $(GOFLAGS_BUILD)) && \
		$(GO) build $(GOFLAGS_BUILD) $${overlay:+"-overlay=$$overlay"} \
		-ldflags "$(LDFLAGS) -X main.libseccomp=$(LIBSECCOMP) -X main.overlay=$${overlay:+yes}" -o $@ .

$(STAGE): $(STAGE_C) $(wildcard nsenter/stage/*.h) Makefile
	$(call say,CC,$@)
	$(Q)$(CC) $(STAGE_CFLAGS) -o $@ $(STAGE_C)
	$(IS_FOR_GOARCH)

$(COMPILER): $(COMPILER_C) $(wildcard internal/seccomp/compiler/*.h) Makefile
	$(call say,CC,$@)
	$(Q)$(CC) $(COMPILER_CFLAGS) -o $@ $(COMPILER_C) -lseccomp
	$(IS_FOR_GOARCH)

deps:
	@tests/deps build test

demo:
	@tests/demo --may
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	@tests/demo

# If CI is set, the tests of checkpoint and restore run with the newest packaged CRIU. Otherwise
# they use the one in PATH, if there is one.
WITH_CRIU = $(if $(CI),criu=$$(tests/peers/native "$$(tests/peers/root criu)" criu) && PATH=$$criu:$$PATH)

# The results end with the skipped tests, by reason. CI=true fails on a reason that
# tests/skips/allowed.txt does not have.
test:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	$(call say,TEST,everything)
	$(Q)$(WITH_CRIU) DAVIT=$(CURDIR)/bin/davit $(GO) run ./tests/skips . tests/seccomp-oracle tests/limits tests/embed

# These tests depend on Go's runtime (threads, signals, terminals, counts). They run in one view of
# cgroups. `make OVERLAY=no test` runs all tests without the overlay.
PLAIN_SCRIPTS := create|exec|kill|run|terminal|signals|hooks|version
test-plain:
	@tests/deps build test
	@$(MAKE) --no-print-directory OVERLAY=no DAVIT_OUT=bin/plain/davit all
	$(call say,TEST,bin/plain/davit)
	$(Q)DAVIT=$(CURDIR)/bin/plain/davit DAVIT_VIEW=unified $(GO) test -count=1 ./tests/integration -run 'Script/^($(PLAIN_SCRIPTS))|Terminal|Signal'
	$(Q)DAVIT=$(CURDIR)/bin/plain/davit $(GO) test -count=1 ./tests/bench

# Checks output against the runtime-spec's JSON schemas, then runs runtime-tools' validation
# programs with davit and with the packaged runtimes. UPDATE=1 writes docs/conformance.md.
test-conformance:
	@tests/deps build test peers $(if $(QUICK),,vm)
	@$(MAKE) --no-print-directory all
	$(call say,TEST,conformance)
	$(Q)cd tests/conformance && DAVIT=$(CURDIR)/bin/davit $(GO) test -count=1 .
	$(Q)cd tests/conformance && $(GO) run . -davit $(CURDIR)/bin/davit $(if $(QUICK),-views v1$(comma)v2) $(if $(UPDATE),-out $(CURDIR)/docs/conformance.md)

# Runs Docker, containerd and others with davit, runc and crun in turn; UPDATE=1 writes
# docs/engines-matrix.md. QUICK=1 runs the most used operations, with davit alone. VM=1 runs
# containerd with all cgroup v2 controllers and both cgroup drivers. SWITCH=1 replaces runc and crun
# by davit while their containers run (UPDATE=1 writes docs/switching-matrix.md).
test-engines:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	$(call say,TEST,engines)
ifdef VM
	@tests/deps vm
	$(Q)DAVIT=$(CURDIR)/bin/davit DRIVER=cgroupfs tests/engines/run --vm --runtimes davit
	$(Q)DAVIT=$(CURDIR)/bin/davit DRIVER=systemd tests/engines/run --vm --runtimes davit
else ifdef SWITCH
	$(Q)DAVIT=$(CURDIR)/bin/davit tests/engines/run $(if $(UPDATE),--table docs/switching-matrix.md) --switch
else
	$(Q)DAVIT=$(CURDIR)/bin/davit tests/engines/run $(if $(UPDATE),--table docs/engines-matrix.md) $(if $(QUICK),--quick --runtimes davit)
endif

# Runs the tests for which this host lacks something: each kernel with all cgroup v2 controllers,
# then systemd as pid 1. UPDATE=1 writes docs/kernels.md. ARCH=arm64 runs tests on that machine,
# emulated (SMOKE=1: fewer; PAGES=16k: only with pages of that size).
KERNELS ?= bookworm trixie sid
test-vm:
ifneq ($(ARCH),)
	@tests/deps build cross test vm machines
	@tests/vm/machines $(ARCH)
else
	@tests/deps build test vm
	@$(MAKE) --no-print-directory all
	$(call say,TEST,$(KERNELS))
	@tests/vm/all $(KERNELS)
endif

# test-faults makes each system call of davit and its stage fail once, and kills davit before each.
# test-soak takes CYCLES containers through their life. Both write their figures to
# docs/reliability.md, and take about an hour.
CYCLES ?= 10000
test-faults test-soak: test-%:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	CYCLES=$(CYCLES) DAVIT=$(CURDIR)/bin/davit tests/reliability $*

# Tests checkpoint and restore with Debian sid's CRIU, beyond what `make test` does: davit and CRIU
# are killed at many moments, and twenty run at once. Two virtual machines add a kernel that tracks
# changed memory, AppArmor, and systemd.
test-criu:
	@tests/deps build test peers vm
	@$(MAKE) --no-print-directory all
	$(call say,TEST,checkpoint and restore)
	$(Q)PATH=$$(tests/peers/native "$$(tests/peers/root criu)" criu):$$PATH DAVIT=$(CURDIR)/bin/davit DAVIT_FAULTS=all \
		$(GO) test -count=1 -timeout 60m ./tests/integration -run '^TestCheckpoint'
	$(Q)CRIU=$$(tests/peers/native "$$(tests/peers/root criu)" criu) TESTS='^TestCheckpoint(PreDump|LazyPages|TCP|Terminal|Joined|Paused|AppArmor)?$$' \
		tests/vm/suite --kernel trixie --timeout 1800 -- ./tests/integration
	$(Q)TESTS='^TestCheckpointSystemd$$' tests/vm/suite --kernel trixie --systemd --root "$$(tests/peers/root criu systemd)" --timeout 900 -- ./tests/integration

# Compares davit with runc and crun on the same bundles (UPDATE=1 writes the tables of docs/spec.md
# and docs/drop-in.md). Then it uses davit on the containers that they make (UPDATE=1 writes
# docs/switching-verbs.md). VM=1 adds a machine with all cgroup v2 controllers and systemd.
test-peers:
	@tests/deps build test peers $(if $(VM),vm)
	@tests/peers/root >/dev/null
	@tests/peers/root --suite bookworm >/dev/null
	@$(MAKE) --no-print-directory all
	DAVIT=$(CURDIR)/bin/davit DAVIT_VIEW=unified DAVIT_TEST_PEERS=1 $(GO) test -count=1 ./tests/integration -run BindFlags $(if $(UPDATE),-update-bind-flags)
	DAVIT=$(CURDIR)/bin/davit VM=$(VM) tests/peers/drop-in $(if $(UPDATE),-update-drop-in)
	DAVIT=$(CURDIR)/bin/davit DAVIT_FAULTS=all $(GO) test -count=1 ./tests/integration -run 'TestAdopt(Refuses|OddFiles)'
	DAVIT=$(CURDIR)/bin/davit VM=$(VM) tests/peers/adopt $(if $(UPDATE),docs/switching-verbs.md)

# containerd's library go-runc calls davit, and the newest packaged runc. UPDATE=1 writes
# docs/gorunc.md.
test-gorunc:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	$(call say,TEST,go-runc)
	$(Q)criu=$$(tests/peers/native "$$(tests/peers/root criu)" criu) && cd tests/gorunc && PATH=$$criu:$$PATH DAVIT=$(CURDIR)/bin/davit $(GO) test -count=1 -timeout 3m -v .

# Compares flags and outputs with those of runc and crun, and writes docs/verbs.md. It fails if
# davit lacks a flag of runc's and gives no reason.
verbs:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	$(Q)$(GO) run ./tests/verbs -davit bin/davit -out docs/verbs.md

# Writes docs/messages.md: what davit, crun and runc say about the same mistakes.
messages:
	@tests/deps build test peers
	@$(MAKE) --no-print-directory all
	$(Q)DAVIT=$(CURDIR)/bin/davit DAVIT_VIEW=unified $(GO) test -count=1 -timeout 60m ./tests/integration -run TestMessagesTable -messages $(CURDIR)/docs/messages.md

# Runs each fuzzer for SECONDS: the stage (C, with sanitizers), the encoding of plans, the decoding
# and checking of configs.
SECONDS ?= 600
fuzz: $(ELFS)
	@tests/deps build fuzz
	$(Q)tests/fuzz/run $(SECONDS)

# For SECONDS, an attacker removes, makes again and exchanges what davit makes. The test prints how
# many containers it has tried.
test-race:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	$(Q)DAVIT=$(CURDIR)/bin/davit DAVIT_FAULTS=all DAVIT_RACE_SECONDS=$(SECONDS) $(GO) test -v -count=1 -timeout $$(($(SECONDS) + 1800))s ./tests/integration \
		-run 'RacedRemoval|OrderHoldsWithoutTheCheck'

lint: $(ELFS)
	@tests/deps build lint
	$(call say,LINT,everything)
	@STAGE_C='$(STAGE_C)' COMPILER_C='$(COMPILER_C)' \
		STAGE_CFLAGS='$(STAGE_CFLAGS)' COMPILER_CFLAGS='$(COMPILER_CFLAGS)' \
		tests/lint

# QUICK=1 prints the results; the complete benchmark writes them to docs/bench. KERNEL=sid measures
# what grows with the host, on that kernel, in a virtual machine that counts instructions; it writes
# docs/bench/kernel-sid.md.
bench:
	@tests/deps build bench $(if $(KERNEL),peers vm)
	@$(MAKE) --no-print-directory all
ifdef KERNEL
	$(Q)$(GO) run ./tests/bench -kernel $(KERNEL) $(if $(ROWS),-rows '$(ROWS)',-out docs/bench)
else
	$(Q)$(GO) run ./tests/bench $(if $(QUICK),-quick,-out docs/bench)
endif

# Go and C share numbers and layouts, each with one definition. This writes them for the other
# language.
generate:
	$(Q)$(GO) generate ./...

# Writes manual pages and completions, from the same definitions as --help. A davit for this machine
# writes them, even if the installed davit is for another machine.
HOSTCC ?= cc
.PHONY: docs
docs: export GOARCH := $(shell $(GO) env GOHOSTARCH)
docs:
	@$(MAKE) -s ARCH= GOARCH=$(GOARCH) CC=$(HOSTCC) elfs
	$(call say,GEN,bin/share)
	$(Q)$(GO) build $(GOFLAGS_BUILD) -tags docs -ldflags "$(LDFLAGS)" -o bin/docs/davit .
	$(Q)rm -rf bin/share && mkdir -p bin/share/bash-completion/completions bin/share/zsh/site-functions bin/share/fish/vendor_completions.d
	$(Q)bin/docs/davit man bin/share/man/man8
	$(Q)bin/docs/davit completion bash >bin/share/bash-completion/completions/davit
	$(Q)bin/docs/davit completion zsh >bin/share/zsh/site-functions/_davit
	$(Q)bin/docs/davit completion fish >bin/share/fish/vendor_completions.d/davit.fish

install: $(DAVIT_OUT) docs
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 755 $(DAVIT_OUT) $(DESTDIR)$(SBINDIR)/davit
	$(Q)cd bin/share && find . -type f -exec install -D -m 644 {} $(abspath $(DESTDIR)$(PREFIX))/share/{} \;

uninstall:
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$(Q)rm -f $(DESTDIR)$(SBINDIR)/davit $(DESTDIR)$(PREFIX)/share/man/man8/davit.8 $(DESTDIR)$(PREFIX)/share/man/man8/davit-*.8
	$(Q)rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/davit $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_davit \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/davit.fish

# Makes a tarball, a .deb, an .rpm and a bill of materials for each machine, then the source and
# SHA256SUMS, all in dist.
.PHONY: release
release:
	@tests/deps build cross release
	@build/release dist $(ARCH)

# Tests under qemu-user, for each machine that this host can emulate, what can differ by machine and
# needs no kernel of that machine. UPDATE=1 writes docs/kernels.md.
.PHONY: test-machines
test-machines:
	@tests/deps build cross emulate
	@tests/machines/run $(ARCH)

.PHONY: test-package test-walk
test-package:
	@tests/deps build package
	@$(MAKE) --no-print-directory all
	$(call say,TEST,package)
	$(Q)tests/package/run $$(build/packaging/deb bin 2>/dev/null)
ifdef INSTALL
	@tests/deps cross release peers
	$(Q)build/release bin/packages $(HOSTARCH) >/dev/null
	$(Q)tests/package/install bin/packages/*.deb bin/packages/*.rpm
endif

.PHONY: test-upgrade
test-upgrade:
	@tests/deps build test
	@$(MAKE) --no-print-directory all
	$(call say,TEST,upgrade and downgrade)
	$(Q)tests/upgrade/run $(OLD)

test-walk:
	@tests/deps peers
	$(call say,TEST,README.md and docs/engines.md)
	$(Q)tests/walk/run $(if $(QUICK),--quick)

deb:
	@tests/deps build
	@$(MAKE) --no-print-directory all
	@build/packaging/deb

clean:
	rm -rf bin dist nsenter/*.elf internal/seccomp/*.elf
