package storage

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/kmsd/kmsd/crypto"
)

// Keys of the file. Records come after the header and the manifest, because a kind begins with a letter.
const (
	headerKey   = "\x00header"
	manifestKey = "\x00manifest"
)

const (
	formatVersion = 1

	idLen     = 16
	checkLen  = 32
	headerLen = 1280 // version 1, store id 16, key check 32, checksum 32, zeros: so long that bbolt never puts the bucket inline

	recordHeaderLen = 1 + 8                                 // version, generation
	manifestLen     = recordHeaderLen + crypto.SealOverhead // and 8 + 32 of content
	manifestBodyLen = 8 + 32
)

func recordKey(kind Kind, path string) string { return string(kind) + "\x00" + path }

// validKey reports whether key is one that recordKey makes of a valid kind and path.
func validKey(key []byte) bool {
	kind, path, ok := bytes.Cut(key, []byte{0})
	return ok && Kind(kind).valid() && len(path) > 0 && len(path) <= MaxPathLen
}

// splitKey is the inverse of recordKey; ok is as with validKey.
func splitKey(key string) (kind Kind, path string, ok bool) {
	if !validKey([]byte(key)) {
		return "", "", false
	}
	k, path, _ := strings.Cut(key, "\x00")
	return Kind(k), path, true
}

// keyring is what a domain key becomes in one store.
type keyring struct {
	id     [idLen]byte
	sealer *crypto.Sealer
	mac    *crypto.MAC
}

// newKeyring derives the keys of the store id from domain, and the value by which the store knows the domain key.
func newKeyring(domain crypto.Secret, id [idLen]byte) (*keyring, [checkLen]byte, error) {
	record := crypto.Derive(domain, "kmsd/storage/record", id[:], 32)
	defer record.Wipe()
	sealer, err := crypto.NewSealer(record)
	if err != nil {
		return nil, [checkLen]byte{}, err
	}
	set := crypto.Derive(domain, "kmsd/storage/manifest", id[:], 32)
	defer set.Wipe()
	check := crypto.Derive(domain, "kmsd/storage/check", id[:], checkLen)
	return &keyring{id: id, sealer: sealer, mac: crypto.NewMAC(set)}, [checkLen]byte(check.Expose()), nil
}

// newHeader returns the header of a store. The check value tells a wrong key from a damaged file; it is the output of a
// PRF, so it says nothing of the key. The checksum tells damage to the check value itself.
func newHeader(id [idLen]byte, check [checkLen]byte) []byte {
	h := make([]byte, headerLen)
	h[0] = formatVersion
	copy(h[1:], id[:])
	copy(h[1+idLen:], check[:])
	sum := sha256.Sum256(h[:1+idLen+checkLen])
	copy(h[1+idLen+checkLen:], sum[:])
	return h
}

// parseHeader is the inverse of newHeader.
func parseHeader(h []byte) (id [idLen]byte, check [checkLen]byte, err error) {
	if len(h) != headerLen {
		return id, check, corruptStore("the header is missing or of another size")
	}
	id, check = [idLen]byte(h[1:]), [checkLen]byte(h[1+idLen:])
	if !bytes.Equal(h, newHeader(id, check)) {
		return [idLen]byte{}, [checkLen]byte{}, corruptStore("the header does not match its checksum, or is of another version")
	}
	return id, check, nil
}

// aad is what a sealed record is bound to: each part with its length before it.
// scratch, which may be nil, saves an allocation if it is long enough.
func (k *keyring) aad(scratch []byte, what string, kind Kind, path string, generation uint64) []byte {
	b := slices.Grow(scratch[:0], 128+len(path))
	b = appendPart(b, what)
	b = appendPart(b, []byte{formatVersion})
	b = appendPart(b, k.id[:])
	b = appendPart(b, kind)
	b = appendPart(b, path)
	return binary.BigEndian.AppendUint64(b, generation)
}

func appendPart[T ~string | ~[]byte](b []byte, part T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
	return append(b, part...)
}

// seal returns the record of value: version, generation, sealed value.
func (k *keyring) seal(kind Kind, path string, generation uint64, value []byte) []byte {
	b := make([]byte, 0, recordHeaderLen+crypto.SealOverhead+len(value))
	b = binary.BigEndian.AppendUint64(append(b, formatVersion), generation)
	return k.sealer.Seal(b, value, k.aad(nil, "record", kind, path, generation))
}

// parseRecord returns the generation of a record and its sealed part, which stays part of b.
func parseRecord(b []byte) (generation uint64, sealed []byte, ok bool) {
	if len(b) < recordHeaderLen+crypto.SealOverhead || b[0] != formatVersion {
		return 0, nil, false
	}
	generation = binary.BigEndian.Uint64(b[1:])
	return generation, b[recordHeaderLen:], generation > 0
}

// open returns the value of the record b in a new slice. scratch is as with aad.
func (k *keyring) open(scratch []byte, kind Kind, path string, b []byte) ([]byte, error) {
	generation, sealed, ok := parseRecord(b)
	if !ok {
		return nil, corruptRecord(kind, path, "is not a record")
	}
	value, err := k.sealer.Open(make([]byte, 0, len(sealed)), sealed, k.aad(scratch, "record", kind, path, generation))
	if err != nil {
		return nil, corruptRecord(kind, path, "does not open")
	}
	return value, nil
}

// sum is the record's share of the set hash: a PRF of kind, path, generation and sealed value. The generation is the
// record's own: it is the first part of b after the version. scratch is as with aad.
func (k *keyring) sum(scratch, key, b []byte) [32]byte {
	m := slices.Grow(scratch[:0], 4+len(key)+len(b))
	m = appendPart(m, key)
	return k.mac.Sum(append(m, b...))
}

// manifest says which records there are: their number and the XOR of their sums. Without the key XOR of hashes would be
// a bad set hash, because sets with equal XOR can be computed from known hashes. Here nobody sees a sum: they are
// outputs of a PRF that exist in memory only, and the manifest is sealed. So any other set of records (each key occurs
// once, the tree is strictly ordered) has the same XOR with probability 2^-256, whatever was seen and tried before.
type manifest struct {
	generation uint64
	count      uint64
	set        [32]byte
}

// toggle adds a record of sum to the set hash, or takes it out.
func (m *manifest) toggle(sum [32]byte) { subtle.XORBytes(m.set[:], m.set[:], sum[:]) }

func (k *keyring) sealManifest(m manifest) []byte {
	body := binary.BigEndian.AppendUint64(make([]byte, 0, manifestBodyLen), m.count)
	body = append(body, m.set[:]...)
	b := binary.BigEndian.AppendUint64([]byte{formatVersion}, m.generation)
	return k.sealer.Seal(b, body, k.aad(nil, "manifest", "", "", m.generation))
}

func (k *keyring) openManifest(b []byte) (manifest, error) {
	generation, sealed, ok := parseRecord(b)
	if !ok || len(b) != manifestLen+manifestBodyLen {
		return manifest{}, corruptStore("the manifest is missing or of another size or version")
	}
	body, err := k.sealer.Open(nil, sealed, k.aad(nil, "manifest", "", "", generation))
	if err != nil {
		return manifest{}, corruptStore("the manifest does not open")
	}
	return manifest{generation: generation, count: binary.BigEndian.Uint64(body), set: [32]byte(body[8:])}, nil
}

func newID() (id [idLen]byte) {
	rand.Read(id[:]) // never fails
	return id
}
