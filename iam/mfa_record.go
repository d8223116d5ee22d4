package iam

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"regexp"

	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
	"github.com/kmsd/kmsd/storage"
)

const kindDevice storage.Kind = "mfa-device" // account id / device id

var deviceID = regexp.MustCompile(`^[A-Z2-7]{20}$`)

func newDeviceID() string { return rand.Text()[:20] }

// encodeDevice makes the binary record of a device. The caller clears it after the transaction.
func encodeDevice(d *mfaDevice) []byte {
	b := make([]byte, 0, 1+8+8+8+totp.SeedSize+3*2+len(d.owner)+len(d.path)+len(d.name))
	b = append(b, recordVersion)
	b = appendTime(b, d.created)
	b = appendTime(b, d.enabled)
	b = binary.BigEndian.AppendUint64(b, d.last)
	b = append(b, d.seed.Expose()...)
	b = appendText(b, d.owner)
	b = appendText(b, d.path)
	return appendText(b, d.name)
}

// decodeDevice copies what it keeps of data. It does not know account, id and serial number.
func decodeDevice(data []byte) (*mfaDevice, error) {
	r := reader{rest: data, ok: true}
	if r.byte() != recordVersion {
		return nil, errors.New("not a record of its kind, or of a version that this program does not read")
	}
	d := &mfaDevice{created: r.time(), enabled: r.time()}
	if last := r.take(8); last != nil {
		d.last = binary.BigEndian.Uint64(last)
	}
	seed := r.take(totp.SeedSize)
	d.owner, d.path, d.name = r.text(), r.text(), r.text()
	if !r.ok || len(r.rest) != 0 || d.last > 1<<40 || (d.owner == "") != d.enabled.IsZero() {
		return nil, errors.New("not a record of its kind")
	}
	if err := errors.Join(checkName("name", d.name, maxDeviceName), checkPath(d.path)); err != nil {
		return nil, err
	}
	d.seed = crypto.NewSecret(bytes.Clone(seed))
	return d, nil
}

// device loads a device.
func (l *loader) device(path string, value []byte) error {
	defer clear(value)
	parts, err := split(path, 2)
	if err != nil {
		return err
	}
	d, err := decodeDevice(value)
	if err != nil {
		return err
	}
	d.account, d.id = parts[0], parts[1]
	d.serial = entityARN(l.cfg.Partition, d.account, "mfa", d.path, d.name)
	if l.accounts[d.account] == nil || !deviceID.MatchString(d.id) {
		return errors.New("there is no such account, or the id is malformed")
	}
	if d.owner != "" {
		if p := l.principals[d.owner]; p == nil || p.Account != d.account {
			return errors.New("there is no such principal")
		}
	}
	if _, exists := l.devices.bySerial.Load(fold(d.serial)); exists {
		return errors.New("the name is that of another device")
	}
	l.devices = l.devices.replace(nil, d)
	return nil
}
