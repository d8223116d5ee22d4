package keystore

import (
	"fmt"

	"github.com/kmsd/kmsd/crypto"
)

// materialVersion is the version of records of material. Version 1 knew secrets of 32 bytes, made by kmsd.
const materialVersion = 2

// Flags of a material record.
const (
	flagImported = 1 << iota
	flagPresent
	flagPending // only with flagImported
	flagDisabled
)

// Sizes of the parts that a material record of each version begins with.
const (
	materialSizeV1 = 1 + 1 + 8 + 32 + 32
	materialHead   = 1 + 1 + 1 + 8 + 32
	importedHead   = 8 + 32 + 4
)

// encode is the record of a version, which is at <account>/<key id>/<number>. It is binary, so that no encoder's buffers hold the secret.
func (v *Version) encode() []byte {
	flags, description := byte(flagPresent), ""
	if i := v.Imported; i != nil {
		flags, description = flagImported, i.Description
		if i.Present {
			flags |= flagPresent
		}
		if i.pending {
			flags |= flagPending
		}
	}
	if v.Disabled {
		flags |= flagDisabled
	}
	b := make([]byte, 0, materialHead+importedHead+len(description)+v.held.secret.Len())
	b = append(b, materialVersion, byte(v.Rotation), flags)
	b = appendTime(b, v.Created)
	b = append(b, v.Material[:]...)
	if i := v.Imported; i != nil {
		b = appendTime(b, i.ValidTo)
		b = append(b, i.commitment[:]...)
		b = appendString(b, i.Description)
	}
	return append(b, v.held.secret.Expose()...)
}

// decodeMaterial takes over value, whose tail becomes the secret.
func decodeMaterial(value []byte, id crypto.KeyID, spec crypto.Spec, number int) (*Version, error) {
	if len(value) == 0 {
		return nil, fmt.Errorf("%w: no key material", ErrCorrupt)
	}
	v := &Version{Number: number, id: id, spec: spec}
	r := &reader{b: value[1:]}
	v.Rotation = Rotation(r.byte())
	flags := byte(flagPresent)
	switch value[0] {
	case 1:
		if len(value) != materialSizeV1 || spec != crypto.SpecSymmetricDefault || v.Rotation > OnDemand {
			r.fail(fmt.Sprintf("key material of version 1 with %d bytes", len(value)))
		}
	case materialVersion:
		flags = r.byte()
	default:
		r.fail(fmt.Sprintf("version %d of key material, this kmsd reads %d", value[0], materialVersion))
	}
	v.Created = r.time()
	copy(v.Material[:], r.next(len(v.Material)))
	if v.Rotation < Creation || v.Rotation > Automatic {
		r.fail(fmt.Sprintf("key material of unknown rotation %d", v.Rotation))
	}
	v.flags(r, flags)
	if r.err == nil && !fits(spec, len(r.b), flags&flagPresent != 0) {
		r.fail(fmt.Sprintf("key material of %d bytes", len(r.b)))
	}
	if r.err != nil {
		return nil, r.err
	}
	v.Name = v.Material.String()
	v.held = &held{secret: crypto.NewSecret(r.b)}
	return v, nil
}

// flags reads what the flags say there is.
func (v *Version) flags(r *reader, flags byte) {
	const known = flagImported | flagPresent | flagPending | flagDisabled
	if flags&^known != 0 || flags&flagImported == 0 && flags&(flagPresent|flagPending) != flagPresent {
		r.fail("flags")
		return
	}
	v.Disabled = flags&flagDisabled != 0
	if flags&flagImported == 0 {
		return
	}
	v.Imported = &Imported{Present: flags&flagPresent != 0, pending: flags&flagPending != 0, ValidTo: r.time()}
	copy(v.Imported.commitment[:], r.next(32))
	v.Imported.Description = string(r.bytes())
}

// fits says whether material of a spec can be this long. What is in it is looked at when it is used.
func fits(spec crypto.Spec, size int, present bool) bool {
	switch {
	case !present:
		return size == 0
	case spec == crypto.SpecSymmetricDefault:
		return size == crypto.KeySize
	}
	return size > 0
}

// materialPath is where a version is stored.
func (k *Key) materialPath(v *Version) string { return materialPath(k.Account(), k.ID, v.Number) }
