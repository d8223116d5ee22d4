// Package vectors reads the test vectors of Project Wycheproof (github.com/C2SP/wycheproof) that lie in testdata and
// counts what became of each. It is for tests only: no package imports it outside of its tests. It knows nothing of
// the functions under test; each test hands it a function that runs one vector.
//
// testdata/ORIGIN names the repository, the commit, and the SHA-256 and number of vectors of every file; `make
// wycheproof-fetch` makes the files anew. The files are packed (see Packer), without loss: what Read returns has
// the hash of the file in that repository.
//
// Trust: who can change testdata can weaken the tests, as who can change the tests can. A file that is missing, has
// another hash or another number of vectors, or has a result other than valid, invalid and acceptable, fails the test.
package vectors

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
)

//go:embed testdata
var testdata embed.FS

// shared returns the bytes that the packed files share.
var shared = sync.OnceValues(func() ([]byte, error) { return readCompressed("shared.gz") })

func readCompressed(name string) ([]byte, error) {
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		return nil, err
	}
	return decompress(b)
}

// The results that a vector can have.
const (
	Valid      = "valid"      // must be accepted
	Invalid    = "invalid"    // must be refused
	Acceptable = "acceptable" // may be either: the table in acceptable.go says what it is here
)

// Hex is bytes that the files give in hexadecimal. A field that the file does not have is nil, one that is there but
// empty is not.
type Hex []byte

// UnmarshalText decodes hexadecimal.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(make([]byte, 0, len(text)/2), text)
	*h = b
	return err
}

// Group is vectors that share a key or parameters. Fields that a schema does not have are zero; sizes are in bits,
// SaltLen is in bytes.
type Group struct {
	Type, Curve, Encoding, ParameterSet, SHA, MGF, MGFSHA string

	SaltLen                  int `json:"sLen"`
	KeySize, IVSize, TagSize int

	PublicKeyDER    Hex             `json:"publicKeyDer"`    // SubjectPublicKeyInfo
	PublicKeyPKCS1  Hex             `json:"publicKeyAsn"`    // RSAPublicKey
	PrivateKeyPKCS8 Hex             `json:"privateKeyPkcs8"` // PrivateKeyInfo
	PrivateSeed     Hex             `json:"privateSeed"`
	PublicKey       json.RawMessage `json:"publicKey"` // an object, or for ML-DSA a hexadecimal string
	Tests           []Test
}

// Test is one vector. Fields that a schema does not have are nil.
type Test struct {
	ID      int `json:"tcId"`
	Comment string
	Flags   []string
	Result  string // Valid, Invalid or Acceptable

	Key, IV, AAD, Msg, CT, Tag, Label Hex // AEAD, MAC, key wrap, encryption
	Sig, Ctx, Mu                      Hex // signatures
	Public, Private, Shared           Hex // key agreement
	Seed, EK, DK, C, K, M             Hex // key encapsulation
}

// Names returns the names of all files, in the order of testdata/ORIGIN.
func Names() ([]string, error) {
	origins, err := readOrigins()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(origins))
	for i, o := range origins {
		names[i] = o.name
	}
	return names, nil
}

// Read returns the groups of the file with this name, without "_test.json". It fails the test if the file is not
// exactly the one that testdata/ORIGIN describes.
func Read(t testing.TB, name string) []Group {
	t.Helper()
	groups, err := read(name)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func read(name string) ([]Group, error) {
	origins, err := readOrigins()
	if err != nil {
		return nil, err
	}
	for _, o := range origins {
		if o.name != name {
			continue
		}
		packed, err := readCompressed(name + "_test.json.gz")
		if err != nil {
			return nil, err
		}
		bytes, err := shared()
		if err != nil {
			return nil, err
		}
		file, err := Unpack(packed, bytes)
		if err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", name, err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(file)); got != o.sha256 {
			return nil, fmt.Errorf("%s has the SHA-256 %s, not %s as in ORIGIN", name, got, o.sha256)
		}
		return parse(name, file, o.count)
	}
	return nil, fmt.Errorf("ORIGIN has no file %q", name)
}

// parse decodes a file of count vectors.
func parse(name string, file []byte, count int) ([]Group, error) {
	var f struct {
		NumberOfTests int
		TestGroups    []Group
	}
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", name, err)
	}
	n := 0
	for _, g := range f.TestGroups {
		for _, v := range g.Tests {
			n++
			if v.Result != Valid && v.Result != Invalid && v.Result != Acceptable {
				return nil, fmt.Errorf("%s: vector %d has the unknown result %q", name, v.ID, v.Result)
			}
		}
	}
	if n == 0 || n != count || n != f.NumberOfTests {
		return nil, fmt.Errorf("%s has %d vectors and says %d, want %d as in ORIGIN", name, n, f.NumberOfTests, count)
	}
	return f.TestGroups, nil
}

// origin is one line of ORIGIN: hash and number of vectors of a file.
type origin struct {
	sha256 string
	count  int
	name   string
}

func readOrigins() ([]origin, error) {
	b, err := testdata.ReadFile("testdata/ORIGIN")
	if err != nil {
		return nil, err
	}
	var origins []origin
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || len(fields[0]) != 2*sha256.Size {
			continue // the lines above the list
		}
		count, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("reading ORIGIN: %w", err)
		}
		origins = append(origins, origin{fields[0], count, strings.TrimSuffix(fields[2], "_test.json")})
	}
	if len(origins) == 0 {
		return nil, fmt.Errorf("ORIGIN lists no file")
	}
	return origins, lines.Err()
}
