package iam

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
	"github.com/kmsd/kmsd/internal/cow"
	"github.com/kmsd/kmsd/storage"
)

const (
	// MaxMFADevicesPerUser is how many devices a user or root user may have. An account may have as many as users.
	MaxMFADevicesPerUser = 8

	maxDeviceName = 226
)

// Errors of second factors. In brackets the name of the AWS exception.
var (
	// ErrMFACode says that a code is wrong, was used before, or is of a device that is not the principal's: which of these is not said.
	// [InvalidAuthenticationCodeException; of STS: AccessDeniedException]
	ErrMFACode = errors.New("the MFA code is not valid for this device, or was used before")

	// ErrMFAThrottled says that a device had too many wrong codes, or 512 devices of its account had one, and for how long it is
	// refused. [ThrottlingException]
	ErrMFAThrottled = errors.New("too many wrong MFA codes: wait ten minutes")
)

// MFADevice is a virtual MFA device as may be said of it.
type MFADevice struct {
	SerialNumber string // arn:PARTITION:iam::ACCOUNT:mfa/path/name
	UserName     string // RootName for a root user; empty if the device is nobody's
	Created      time.Time
	Enabled      time.Time // zero if the device is nobody's
}

// VirtualMFADevice is a device with its seed, as it is told once, when it is made. It prints without the seed.
type VirtualMFADevice struct {
	SerialNumber string
	Seed         crypto.Secret // base32; the caller's own, to be wiped when it has been told
	URI          crypto.Secret // "otpauth://totp/…", which holds the seed; likewise
}

// mfaDevice is a virtual MFA device. It is immutable.
type mfaDevice struct {
	id      string // in the path of its record
	account string
	serial  string
	path    string
	name    string
	seed    crypto.Secret
	owner   string // id of the user or root user; empty if it is nobody's
	created time.Time
	enabled time.Time // zero if it is nobody's
	last    uint64    // the last step whose code was accepted
}

// devices are the MFA devices of all accounts. They are immutable.
type devices struct {
	bySerial cow.Map[string, *mfaDevice] // :: folded serial number → device
	byOwner  cow.Map[string, []string]   // :: id of a user or root user → folded serial numbers of its devices, in order
	count    cow.Map[string, int]        // :: account → number of its devices
}

// replace returns d with next in the place of old, of which one may be nil.
func (d devices) replace(old, next *mfaDevice) devices {
	if old != nil {
		d.bySerial = d.bySerial.Without(fold(old.serial))
		d = d.enter(old, -1, func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(serial string) bool { return serial == fold(old.serial) })
		})
	}
	if next != nil {
		d.bySerial = d.bySerial.With(fold(next.serial), next)
		d = d.enter(next, 1, func(list []string) []string {
			at, _ := slices.BinarySearch(list, fold(next.serial))
			return slices.Insert(slices.Clone(list), at, fold(next.serial))
		})
	}
	return d
}

func (d devices) enter(m *mfaDevice, by int, edit func([]string) []string) devices {
	n, _ := d.count.Load(m.account)
	d.count = d.count.With(m.account, n+by)
	if m.owner == "" {
		return d
	}
	list, _ := d.byOwner.Load(m.owner)
	if list = edit(list); len(list) == 0 {
		d.byOwner = d.byOwner.Without(m.owner)
	} else {
		d.byOwner = d.byOwner.With(m.owner, list)
	}
	return d
}

// device returns the device of exactly this serial number, if it is of the account.
func (s *Snapshot) device(account, serial string) (*mfaDevice, bool) {
	d, ok := s.devices.bySerial.Load(fold(serial))
	if !ok || d.serial != serial || d.account != account {
		return nil, false
	}
	return d, true
}

// mfaDevices is how many devices a user or root user has.
func (s *Snapshot) mfaDevices(principalID string) int {
	list, _ := s.devices.byOwner.Load(principalID)
	return len(list)
}

// NewMFADeviceARN returns the serial number that a device would have: the ARN to authorize CreateVirtualMFADevice with.
// DeleteVirtualMFADevice is authorized with the serial number, the other operations with the user's ARN.
func (s *Snapshot) NewMFADeviceARN(account, path, name string) string {
	return entityARN(s.partition, account, "mfa", path, name)
}

// MFADeviceResource returns what to authorize DeleteVirtualMFADevice with, whether or not the account has such a device.
func (s *Snapshot) MFADeviceResource(account, serial string) *authz.Resource {
	return s.entityResource(account, serial)
}

// CreateVirtualMFADevice makes a device that is nobody's. An empty path means "/". Path and name are unique in the account without
// regard to case. The grant must permit authz.IAMCreateVirtualMFADevice on NewMFADeviceARN. The device is durable when it returns
// nil; the error matches ErrValidation, ErrEntityExists, ErrLimitExceeded or totp.ErrFIPS.
func (i *IAM) CreateVirtualMFADevice(g authz.Grant, account, path, name string) (VirtualMFADevice, error) {
	if path == "" {
		path = "/"
	}
	if err := checkName("VirtualMFADeviceName", name, maxDeviceName); err != nil {
		return VirtualMFADevice{}, err
	}
	if err := checkPath(path); err != nil {
		return VirtualMFADevice{}, err
	}
	seed := totp.NewSeed()
	if _, err := totp.Code(seed, 0); err != nil {
		return VirtualMFADevice{}, err
	}
	d := &mfaDevice{id: newDeviceID(), account: account, path: path, name: name, seed: seed, created: present()}
	var once toldOnce
	err := i.update("creating an MFA device", &once, func(next *Snapshot, tx *storage.Tx) error {
		d.serial = next.NewMFADeviceARN(account, path, name)
		once.Of = "MFA device " + d.serial
		if !g.Permits(authz.IAMCreateVirtualMFADevice, d.serial) {
			return ErrNotPermitted
		}
		if _, ok := next.accounts.Load(account); !ok {
			return fmt.Errorf("%w: there is no such account", ErrNoSuchEntity)
		}
		if _, exists := next.devices.bySerial.Load(fold(d.serial)); exists {
			return fmt.Errorf("%w: an MFA device of this name", ErrEntityExists)
		}
		if n, _ := next.devices.count.Load(account); n >= i.cfg.MaxUsers {
			return fmt.Errorf("%w: %d MFA devices in an account", ErrLimitExceeded, i.cfg.MaxUsers)
		}
		return next.putDevice(tx, nil, d)
	})
	if err != nil {
		return VirtualMFADevice{}, err
	}
	return VirtualMFADevice{
		SerialNumber: d.serial, Seed: totp.Base32(seed), URI: totp.URI(seed, "kmsd "+account, strings.TrimPrefix(path, "/")+name),
	}, nil
}

// putDevice puts next in the place of old, which may be nil, into s and the store.
func (s *Snapshot) putDevice(tx *storage.Tx, old, next *mfaDevice) error {
	record := encodeDevice(next)
	defer clear(record)
	s.devices = s.devices.replace(old, next)
	return tx.Put(kindDevice, join(next.account, next.id), record)
}

// EnableMFADevice gives a device that is nobody's to a user, or the root user for RootName. Two consecutive codes prove that the
// user has it. The grant must permit authz.IAMEnableMFADevice on the user's ARN. The error matches ErrMFACode,
// ErrMFAThrottled, ErrNoSuchEntity, ErrEntityExists if the device is somebody's, or ErrLimitExceeded.
func (i *IAM) EnableMFADevice(g authz.Grant, account, userName, serial, code1, code2 string, now time.Time) error {
	if !totp.WellFormed(code1) || !totp.WellFormed(code2) {
		return ErrMFACode
	}
	return i.attempt(account, serial, now, func() error {
		return i.update("enabling an MFA device", nil, func(next *Snapshot, tx *storage.Tx) error {
			p, err := next.target(g, authz.IAMEnableMFADevice, account, userName)
			if err != nil {
				return err
			}
			d, ok := next.device(account, serial)
			switch {
			case !ok:
				return noDevice()
			case d.owner != "":
				return fmt.Errorf("%w: the MFA device is in use", ErrEntityExists)
			case next.mfaDevices(p.ID) >= MaxMFADevicesPerUser:
				return fmt.Errorf("%w: %d MFA devices for a user", ErrLimitExceeded, MaxMFADevicesPerUser)
			}
			step, matches, err := totp.MatchPair(d.seed, code1, code2, now, d.last)
			if err != nil {
				return err
			}
			if !matches {
				return ErrMFACode
			}
			enabled := *d
			enabled.owner, enabled.enabled, enabled.last = p.ID, present(), step
			return next.putDevice(tx, d, &enabled)
		})
	})
}

func noDevice() error {
	return fmt.Errorf("%w: there is no such MFA device", ErrNoSuchEntity)
}

// DeactivateMFADevice takes a device from a user, or from the root user for RootName. It stays, and is nobody's. The grant must
// permit authz.IAMDeactivateMFADevice on the user's ARN. Sessions that were opened with it go on.
func (i *IAM) DeactivateMFADevice(g authz.Grant, account, userName, serial string) error {
	return i.update("deactivating an MFA device", nil, func(next *Snapshot, tx *storage.Tx) error {
		p, err := next.target(g, authz.IAMDeactivateMFADevice, account, userName)
		if err != nil {
			return err
		}
		d, ok := next.device(account, serial)
		if !ok || d.owner != p.ID {
			return noDevice()
		}
		idle := *d
		idle.owner, idle.enabled = "", time.Time{}
		return next.putDevice(tx, d, &idle)
	})
}

// DeleteVirtualMFADevice removes a device that is nobody's (ErrDeleteConflict). The grant must permit
// authz.IAMDeleteVirtualMFADevice on the serial number.
func (i *IAM) DeleteVirtualMFADevice(g authz.Grant, account, serial string) error {
	return i.update("deleting an MFA device", nil, func(next *Snapshot, tx *storage.Tx) error {
		if !g.Permits(authz.IAMDeleteVirtualMFADevice, serial) {
			return ErrNotPermitted
		}
		d, ok := next.device(account, serial)
		if !ok {
			return noDevice()
		}
		if d.owner != "" {
			return fmt.Errorf("%w: the MFA device is in use: deactivate it first", ErrDeleteConflict)
		}
		next.devices = next.devices.replace(d, nil)
		return tx.Delete(kindDevice, join(account, d.id))
	})
}

// ListMFADevices returns the devices of a user, or of the root user for RootName, in the order of their serial numbers without
// regard to case. The grant must permit authz.IAMListMFADevices on the user's ARN.
func (s *Snapshot) ListMFADevices(g authz.Grant, account, userName string) ([]MFADevice, error) {
	p, err := s.target(g, authz.IAMListMFADevices, account, userName)
	if err != nil {
		return nil, err
	}
	serials, _ := s.devices.byOwner.Load(p.ID)
	list := make([]MFADevice, 0, len(serials))
	for _, serial := range serials {
		if d, ok := s.devices.bySerial.Load(serial); ok {
			list = append(list, MFADevice{SerialNumber: d.serial, UserName: p.Name, Created: d.created, Enabled: d.enabled})
		}
	}
	return list, nil
}

// VerifyMFA checks the code of a device of a user, or of a root user by its account's id, and consumes it: the step that the code is
// of, and all before it, are refused from then on, also after a restart. That is durable when it returns nil.
//
// The error is ErrMFACode, or ErrMFAThrottled after ten wrong codes in ten minutes, right ones included then; that is counted in
// memory, from the start of the process. What is counted in one account has no effect in another. A code that is not six digits is wrong, but not counted.
func (i *IAM) VerifyMFA(account, principalID, serial, code string, now time.Time) error {
	if d, ok := i.Snapshot().device(account, serial); !ok || d.owner != principalID || principalID == "" || !totp.WellFormed(code) {
		return ErrMFACode
	}
	return i.attempt(account, serial, now, func() error {
		return i.update("verifying a second factor", nil, func(next *Snapshot, tx *storage.Tx) error {
			d, ok := next.device(account, serial)
			if !ok || d.owner != principalID {
				return ErrMFACode
			}
			step, matches, err := totp.Match(d.seed, code, now, d.last)
			if err != nil {
				return err
			}
			if !matches {
				return ErrMFACode
			}
			used := *d
			used.last = step
			return next.putDevice(tx, d, &used)
		})
	})
}

// attempt counts a try at the codes of a device: before it is made, so that many at once do not get past the limit.
func (i *IAM) attempt(account, serial string, now time.Time, try func() error) error {
	d, ok := i.Snapshot().device(account, serial)
	if !ok {
		return noDevice()
	}
	if !i.throttle.enter(d.share(), d.id, now) {
		return ErrMFAThrottled
	}
	err := try()
	if !errors.Is(err, ErrMFACode) {
		i.throttle.forgive(d.share(), d.id, now)
	}
	return err
}
