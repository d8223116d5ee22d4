// Package clients runs programs and libraries that were written for AWS against a kmsd that it starts itself: the SDKs for Go, JavaScript and Python,
// the aws command line, sops, Tink, gocloud.dev, the Encryption SDK and the API server's side of Kubernetes' KMS v2. It is a module of its own, so that
// what they depend on is no dependency of kmsd, and it consists of tests only: `make clients` runs them and prints a table of who did what.
//
// It tests what such a client sees, not what kmsd does inside, and it opens no connection but to this machine.
//
// Trust: the clients are of other people and run as the user who runs the tests, with a home folder, an environment and credentials of their own.
package clients
