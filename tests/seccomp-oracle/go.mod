// davit's seccomp filters beside those of libseccomp-golang, which needs cgo.
module davit/tests/seccomp-oracle

go 1.26.0

require (
	davit v0.0.0
	github.com/opencontainers/runtime-spec v1.3.0
	github.com/seccomp/libseccomp-golang v0.11.1
)

require golang.org/x/sys v0.49.0 // indirect

replace davit => ../..
