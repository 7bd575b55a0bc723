# Each target is one command that works by hand too; make help lists them.
.PHONY: test lint e2e cluster bench generate verify help

test:     ## run the tests: offline, no cluster, no services
	go test -race -shuffle=on ./...

lint:     ## run the linters at their pinned version
	go tool -modfile=internal/tools/go.mod golangci-lint run

e2e:      ## run the long tests beside Kubernetes that are started for them: needs root and Debian
	bash .ci/e2e

cluster:  ## start a Kubernetes to play with; it says how to use it
	go run ./internal/testcluster/cmd

bench:    ## measure every promise about speed or memory, one line each; some beside a Kubernetes
	go run ./internal/testcluster/cmd -peers -- bash .ci/bench

generate: ## write docs/functions.md and docs/lint.md anew
	go run ./internal/gendocs

verify:   ## check format, linters, generated files and modules, then test
	bash .ci/run verify

help:     ## list the targets
	@grep -E '^[a-z0-9]+: +## ' $(MAKEFILE_LIST) | sed -E 's/: +## /\t/' | expand -t 12
