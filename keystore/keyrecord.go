package keystore

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kmsd/kmsd/crypto"
)

// keyRecordVersion is the version of records of keys. Version 1 is JSON, and knew symmetric keys only.
const keyRecordVersion = 2

// What numbers stand for on disk. They never change.
var (
	diskSpecs = []crypto.Spec{
		1: crypto.SpecSymmetricDefault, 2: crypto.SpecHMAC224, 3: crypto.SpecHMAC256, 4: crypto.SpecHMAC384, 5: crypto.SpecHMAC512,
		6: crypto.SpecRSA2048, 7: crypto.SpecRSA3072, 8: crypto.SpecRSA4096,
		9: crypto.SpecP256, 10: crypto.SpecP384, 11: crypto.SpecP521, 12: crypto.SpecEd25519, 13: crypto.SpecP256K1,
		14: crypto.SpecMLDSA44, 15: crypto.SpecMLDSA65, 16: crypto.SpecMLDSA87, 17: crypto.SpecMLKEM768, 18: crypto.SpecMLKEM1024,
	}
	diskUsages = []crypto.Usage{
		1: crypto.UsageEncryptDecrypt, 2: crypto.UsageSignVerify, 3: crypto.UsageGenerateVerifyMAC, 4: crypto.UsageKeyAgreement,
		5: crypto.UsageEncapsulateDecapsulate,
	}
	diskOrigins = []Origin{1: OriginKMS, 2: OriginExternal}
)

// Flags of a key record.
const (
	flagProtected = 1 << iota
	flagLife
	flagRotates // only with flagLife
)

func diskNumber[T comparable](table []T, v T) byte {
	i := slices.Index(table, v)
	if i < 1 {
		panic("keystore: internal error: a record of what has no number")
	}
	return byte(i)
}

func fromDisk[T any](r *reader, table []T, what string) (v T) {
	n := int(r.byte())
	if n < 1 || n >= len(table) {
		r.fail(fmt.Sprintf("%s %d", what, n))
		return v
	}
	return table[n]
}

// encode is the record of a key, which is at <account>/<key id>.
func (k *Key) encode() []byte {
	flags := byte(0)
	if k.DeletionProtection {
		flags |= flagProtected
	}
	if k.life != nil {
		flags |= flagLife
		if k.life.rotates {
			flags |= flagRotates
		}
	}
	b := make([]byte, 0, 64+len(k.Description)+len(k.Policy.document))
	b = append(b, keyRecordVersion, byte(k.State), diskNumber(diskSpecs, k.Spec), diskNumber(diskUsages, k.Usage), diskNumber(diskOrigins, k.Origin), flags)
	b = appendTime(b, k.Created)
	b = appendTime(b, k.PolicyUpdated)
	b = appendString(b, k.Description)
	b = append(b, k.Policy.encode()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(k.tags)))
	for _, t := range k.tags {
		b = appendString(appendString(b, t.Key), t.Value)
	}
	if k.life != nil {
		b = k.life.append(b)
	}
	return b
}

func (p *Policy) encode() []byte {
	b := appendString(nil, p.document)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.bindings)))
	for _, arn := range slices.Sorted(maps.Keys(p.bindings)) {
		b = appendString(appendString(b, arn), p.bindings[arn])
	}
	return b
}

func (l *life) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(l.rotationDays))
	b = appendTime(b, l.nextRotation)
	b = binary.BigEndian.AppendUint16(b, uint16(l.windowDays))
	b = appendTime(b, l.deletion)
	b = binary.BigEndian.AppendUint64(b, uint64(l.servedBefore))
	return appendTime(b, l.disabled)
}

// keyData is what a record says of a key.
type keyData struct {
	state                  State
	spec                   crypto.Spec
	usage                  crypto.Usage
	origin                 Origin
	protected              bool
	created, policyUpdated time.Time
	description            string
	policy                 []byte // as Policy.encode has it; part of the record
	tags                   []Tag
	life                   *life
}

// decodeKey reads a record of version 2. What it returns is encoded as the same bytes again.
func decodeKey(value []byte) (keyData, error) {
	r := &reader{b: value}
	if v := r.byte(); r.err == nil && v != keyRecordVersion {
		return keyData{}, fmt.Errorf("%w: version %d of a key, this kmsd reads %d", ErrCorrupt, v, keyRecordVersion)
	}
	var d keyData
	if d.state = State(r.byte()); d.state < Enabled || d.state > PendingImport {
		r.fail(d.state.String())
	}
	d.spec = fromDisk(r, diskSpecs, "key spec")
	d.usage = fromDisk(r, diskUsages, "key usage")
	d.origin = fromDisk(r, diskOrigins, "origin")
	if r.err == nil && !d.spec.Allows(d.usage) {
		r.fail(fmt.Sprintf("usage %s of a key of spec %s", d.usage, d.spec))
	}
	flags := r.byte()
	if flags&^(flagProtected|flagLife|flagRotates) != 0 || flags&(flagLife|flagRotates) == flagRotates {
		r.fail("flags")
	}
	d.protected = flags&flagProtected != 0
	d.created, d.policyUpdated = r.time(), r.time()
	d.description = string(r.bytes())
	d.policy = r.policy()
	d.tags = r.tags()
	if flags&flagLife != 0 {
		d.life = r.life()
		d.life.rotates = flags&flagRotates != 0
		if *d.life == (life{}) {
			r.fail("dates that say nothing")
		}
	}
	if err := r.end(); err != nil {
		return keyData{}, err
	}
	return d, nil
}

// policy goes over a policy, whose entries must be in order, and returns all of it.
func (r *reader) policy() []byte {
	whole := r.b
	r.bytes()
	r.pairs(func(string, string) {})
	return whole[:len(whole)-len(r.b)]
}

// pairs reads pairs of strings in the order of the first ones.
func (r *reader) pairs(each func(key, value string)) {
	n := r.count(8)
	var before []byte
	for i := range n {
		key, value := r.bytes(), r.bytes()
		if r.err != nil {
			return
		}
		if i > 0 && string(before) >= string(key) {
			r.fail("entries are out of order")
			return
		}
		before = key
		each(string(key), string(value))
	}
}

func (r *reader) tags() (tags []Tag) {
	r.pairs(func(key, value string) { tags = append(tags, Tag{key, value}) })
	return tags
}

func (r *reader) life() *life {
	l := &life{rotationDays: int(r.uint16()), nextRotation: r.time(), windowDays: int(r.uint16()), deletion: r.time()}
	l.servedBefore, l.disabled = time.Duration(r.uint64()), r.time()
	return l
}

// decodePolicy reads what reader.policy returned.
func decodePolicy(b []byte) (document string, bindings map[string]string) {
	r := &reader{b: b}
	document, bindings = string(r.bytes()), map[string]string{}
	r.pairs(func(arn, id string) { bindings[arn] = id })
	return document, bindings
}
