// Command pack makes the files of internal/vectors/testdata from a copy of Project Wycheproof. It is run by
// internal/vectors/fetch, which gets the copy.
//
// Trust: it takes what is in the copy. What changes in ORIGIN is for a person to read before it is committed.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/kmsd/kmsd/internal/vectors"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: pack REPOSITORY COMMIT COPY TESTDATA < names of files")
		os.Exit(2)
	}
	names, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], strings.Fields(string(names)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(repository, commit, source, testdata string, names []string) error {
	var origin bytes.Buffer
	fmt.Fprintf(&origin, "repository %s\ncommit     %s\nfolder     testvectors_v1\nlicence    Apache-2.0, see LICENSE\n\n", repository, commit)
	fmt.Fprintln(&origin, "SHA-256 of the file in the repository, number of vectors, name")
	var p vectors.Packer
	for _, name := range names {
		file, err := os.ReadFile(filepath.Join(source, "testvectors_v1", name))
		if err != nil {
			return err
		}
		var head struct{ NumberOfTests int }
		if err := json.Unmarshal(file, &head); err != nil {
			return fmt.Errorf("parsing %s: %w", name, err)
		}
		packed, err := p.Pack(file)
		if err != nil {
			return fmt.Errorf("packing %s: %w", name, err)
		}
		if back, err := vectors.Unpack(packed, p.Shared); err != nil || !bytes.Equal(back, file) {
			return fmt.Errorf("packing %s loses something: %w", name, err)
		}
		if err := writeCompressed(filepath.Join(testdata, name+".gz"), packed); err != nil {
			return err
		}
		fmt.Fprintf(&origin, "%x %4d %s\n", sha256.Sum256(file), head.NumberOfTests, name)
	}
	if err := writeCompressed(filepath.Join(testdata, "shared.gz"), p.Shared); err != nil {
		return err
	}
	licence, err := os.ReadFile(filepath.Join(source, "LICENSE"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(testdata, "LICENSE"), licence, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(testdata, "ORIGIN"), origin.Bytes(), 0o644)
}

func writeCompressed(path string, b []byte) error {
	c, err := vectors.Compress(b)
	if err != nil {
		return err
	}
	return os.WriteFile(path, c, 0o644)
}
