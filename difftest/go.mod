module github.com/kmsd/kmsd/difftest

go 1.26.0

require (
	github.com/kmsd/kmsd v0.0.0
	github.com/tink-crypto/tink-go/v2 v2.9.0
)

require (
	filippo.io/mldsa v1.0.0 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.4.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/kmsd/kmsd => ../
