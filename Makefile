# make test    what CI runs: the services that tests need, format, vet, staticcheck, all tests, with the race detector where anything runs side by side
# make lint    the same without the tests
# make soak    the promises at full size, for hours: 20 runs of a million rows, 50 drains, 30 kills, each fault with 20 seeds, an hour of all of them; SCORE chooses some
# make fuzz    all fuzz targets, FUZZTIME each (10m), one after the other; FUZZ chooses some. docs/fuzzing.md
# make bench   stint beside its peers and the limits of this machine, for hours; results in bench/results
# make record  docs/benchmarks-table.md and its pictures, from those results
# make docs    write the pages that are made from the program: docs/reference, docs/openapi.json
# make build   bin/stint, one static binary
# make vuln    known weaknesses of what is in the binary: govulncheck, with the public database or, where it cannot be reached, a dated snapshot
# make licences  the licences of all modules in the binary are allowed, and docs/licences.md names them
# make sbom    bin/supply/stint.cdx.json, a bill of materials of the binary

GO ?= go
PKG ?= ./...
# Of the whole run, per package: a test that hangs ends with its stacks instead of with the patience of CI.
TIMEOUT ?= 20m
STATICCHECK_VERSION := v0.8.2

.PHONY: test bench record soak fuzz lint docs build deps fmt vet staticcheck vuln licences sbom race programs tables clean

# The installation, which waits for others most of the time, goes on beside the linters.
test:
	@scripts/install-test-deps.sh & installing=$$!; $(MAKE) --no-print-directory lint; linted=$$?; wait $$installing && exit $$linted
	@$(MAKE) --no-print-directory race

lint: fmt vet staticcheck vuln licences sbom

deps:
	@scripts/install-test-deps.sh

fmt:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then \
	  echo "not formatted; run gofmt -w on:" >&2; echo "$$unformatted" >&2; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	@GO=$(GO) scripts/staticcheck.sh $(STATICCHECK_VERSION) ./...

# Built with the flags of the tests' programs, so that nothing is compiled twice. A DATABASE is one that govulncheck reads: https://... or file://...
SUPPLY := bin/supply/stint
.PHONY: $(SUPPLY)
$(SUPPLY):
	@$(GO) build -o $(SUPPLY) ./cmd/stint

vuln: $(SUPPLY)
	@$(GO) run ./scripts/supply vuln $(SUPPLY) $(DATABASE)

licences:
	@$(GO) test ./scripts/supply -run Licence

sbom: $(SUPPLY)
	@$(GO) run ./scripts/supply sbom $(SUPPLY) $(SUPPLY).cdx.json

# vet runs by itself, before the tests.
# Tables of cases that run the same code over and over: the race detector sees nothing new in them, and makes them many times as slow.
TABLES := ^(TestAnAwkwardCase|TestARepairKeepsThePromises|TestAMigrationFromFirebirdKeepsThePromises|TestAMigrationFromMariaDBToMariaDBKeepsThePromises|TestAMigrationThatVerifiesItselfKeepsThePromises|TestAMigrationIntoFilesKeepsThePromises|TestAValueOf100MBPassesInBoundedMemory|TestASampleOfTheRealWorldArrivesAndIsEqual|TestNothingGoesThatShouldStay|TestALargeCustomerIsCountedInBoundedMemory|TestThePairsAreThoseOfASelfJoin|TestWhatGoesCanBePutBack|TestAnAnalysisIsNotCarriedOutBlindly|TestTheTruthIsWhatASelfJoinFinds|TestWhatIsDeletedComesBackExactlyAsItWas|TestSizesAreAboutRight|TestAFunctionOfNULLGivesNULLWhicheverArgumentItIs|TestWhatIsTooLargeIsAnErrorAndNoCrash|TestTheWallClockLeadsToTheMomentAtWhichItShowsThat|TestAPlanWithReferencesKeepsThePromises|TestAMigrationIntoSQLiteKeepsThePromises|TestTermsAreAllThereOrAnError|TestAWorkerThatDiesAtAnyWriteOfAFileLosesAndDoublesNothing|TestKeysThatAreLongerThanAnIndexHoldsAreKeptApart|TestARoundWhoseSessionsAreKilledAtAnyMomentLosesAndDoublesNothing|TestRowsThatExchangeTheirNamesInStepsOfTheSameTimeAreAllThere|TestRowsAreFoundAgainByKeysOfEveryKind|TestRowsThatWaitForOthersAreInTheFilesOnce|TestMoreFilesAndBytesThanAnOldZipHoldsAreInIt|TestAHugeFileIsBoundedInMemory|TestTheSameFilesMakeTheSameObjects|TestALongChainOfStepsStaysShort|TestTheFamiliesKeepTheirPromisesInSQLite|TestEachActionInEachReachableStateDoesWhatTheModelSays|TestAMillionRowsAreWrittenInConstantMemory|TestALongFileThatIsNoYAMLIsRefusedSoon|TestTwoHundredMegabytesGoThroughInConstantMemory|TestTheScriptsDoWhatTheModelSays|TestAllShortWaysDoWhatTheModelSays)$$

# Packages without it: cmd/stint drives programs that it has built, the scripts the go tool, the sandbox of builds processes; internal/enginemodel, what evaluates alerts and what signs rows have no goroutines; internal/sqldb and internal/datasets wait for
# databases, mostly for SQLite, which is in this process and ten times as slow with the detector; snapshots compress. The families
# that use them have it. `make race RACELESS=none` leaves nothing out. The longest package is the first, so that the others have their
# turn beside it; four at a time, as most tests wait for servers.
# The code of SQLite itself, translated from C, runs in this process, and is four times as slow with the detector, which looks for mistakes of ours: it goes without.
RACE := -race -gcflags='modernc.org/...=-race=false'
RACELESS ?= cmd/stint|scripts/supply|scripts/fuzz|internal/sqldb|internal/datasets|internal/enginemodel|tasks/alert/condition|tasks/alert/evaluate|tasks/dedupe/signature|tasks/builder/snapshot|tasks/builder/sandbox
race:
	$(GO) test -vet=off $(RACE) -p 4 -timeout $(TIMEOUT) -skip '$(TABLES)' $$($(GO) list $(PKG) | grep -E '/tasks/migration$$') $$($(GO) list $(PKG) | grep -vE '/($(RACELESS)|tasks/migration)$$')
	@$(MAKE) --no-print-directory -j2 programs tables

# The programs wait for one another for a time that a busy machine does not always keep: the tables take what they leave of the machine.
programs:
	$(GO) test -vet=off -timeout $(TIMEOUT) -parallel 4 ./cmd/stint

tables:
	nice -n 19 $(GO) test -vet=off -timeout $(TIMEOUT) -run '$(TABLES)' ./tasks/migration ./tasks/dedupe ./internal/expression ./internal/store ./tasks/alert/source ./tasks/builder/junit ./tasks/builder/pack ./internal/filesink ./config ./internal/artifact
	nice -n 19 $(GO) test -vet=off -timeout $(TIMEOUT) ./internal/sqldb ./internal/datasets ./internal/enginemodel ./tasks/alert/condition ./tasks/alert/evaluate ./tasks/dedupe/signature ./tasks/builder/snapshot ./tasks/builder/sandbox ./scripts/supply ./scripts/fuzz

bench:
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 6h ./bench

RECORD ?= $(shell date -u +%Y-%m)
record:
	$(GO) test ./bench -run Documents -count 1 -record $(RECORD) -update

SCORE ?= Score
soak: deps
	$(GO) test ./cmd/stint -run '$(SCORE)' -skip 'ScoreFire|ScoreSoak' -long -v -parallel 1 -timeout 24h
	$(GO) test ./cmd/stint -run '$(SCORE)' -skip 'Score[^FS]|ScoreService' -long -v -parallel 6 -timeout 24h
	$(GO) test ./tasks/dedupe -run 'TestNothingGoesThatShouldStay' -schedules 1000 -v -timeout 1h

FUZZTIME ?= 10m
PARALLEL ?= 1
FUZZ ?=
fuzz: deps
	$(GO) run ./scripts/fuzz -time $(FUZZTIME) -parallel $(PARALLEL) -run '$(FUZZ)' -go $(GO)

docs:
	$(GO) test ./docs ./internal/api ./internal/telemetry ./cmd/internal/cli -run 'Reference|OpenAPI' -count 1 -update
	$(GO) run ./scripts/supply licences

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/stint ./cmd/stint

clean:
	rm -rf bin
