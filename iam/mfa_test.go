package iam

import (
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/iam/totp"
	"github.com/kmsd/kmsd/internal/leaktest"
)

// app is what the owner of a device has.
type app struct {
	w      *sessionWorld
	serial string
	seed   crypto.Secret
}

func (w *sessionWorld) mustDevice(name string) *app {
	w.t.Helper()
	d, err := w.createDevice("/", name)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := base32.StdEncoding.DecodeString(string(d.Seed.Expose()))
	if err != nil {
		w.t.Fatal(err)
	}
	return &app{w, d.SerialNumber, crypto.NewSecret(raw)}
}

func (w *sessionWorld) createDevice(path, name string) (VirtualMFADevice, error) {
	w.t.Helper()
	return w.CreateVirtualMFADevice(w.grant(authz.IAMCreateVirtualMFADevice, w.Snapshot().NewMFADeviceARN(testAccount, path, name)), testAccount, path, name)
}

// code is what the app shows, some steps from now.
func (a *app) code(steps int) string {
	a.w.t.Helper()
	c, err := totp.Code(a.seed, totp.Step(a.w.now.Add(time.Duration(steps)*totp.Period)))
	if err != nil {
		a.w.t.Fatal(err)
	}
	return c
}

func (a *app) enable(user string) error {
	a.w.t.Helper()
	return a.w.EnableMFADevice(a.w.on(authz.IAMEnableMFADevice, user), testAccount, user, a.serial, a.code(-1), a.code(0), a.w.now)
}

func (a *app) mustEnable(user string) {
	a.w.t.Helper()
	if err := a.enable(user); err != nil {
		a.w.t.Fatal(err)
	}
}

func (a *app) verify(c *Credential, code string) error {
	a.w.t.Helper()
	return a.w.VerifyMFA(c.Account, c.PrincipalID, a.serial, code, a.w.now)
}

// later lets steps go by.
func (w *sessionWorld) later(steps int) { w.now = w.now.Add(time.Duration(steps) * totp.Period) }

func (w *sessionWorld) devices(user string) []string {
	w.t.Helper()
	list, err := w.Snapshot().ListMFADevices(w.on(authz.IAMListMFADevices, user), testAccount, user)
	if err != nil {
		w.t.Fatal(err)
	}
	var serials []string
	for _, d := range list {
		if d.UserName != user || d.Enabled.IsZero() || d.Created.IsZero() {
			w.t.Errorf("device %+v of %s", d, user)
		}
		serials = append(serials, d.SerialNumber)
	}
	return serials
}

func TestMFADevice(t *testing.T) {
	w := newSessionWorld(t)
	made, err := w.createDevice("/team/", "phone")
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:iam::" + testAccount + ":mfa/team/phone"; made.SerialNumber != want {
		t.Errorf("serial number %q, want %q", made.SerialNumber, want)
	}
	leaktest.Check(t, made.Seed.Expose(), made, w.IAM)
	for _, d := range w.Snapshot().devices.bySerial.All() {
		leaktest.Check(t, d.seed.Expose(), made, d, w.IAM, w.Snapshot())
	}
	if !strings.Contains(string(made.URI.Expose()), "secret="+string(made.Seed.Expose())+"&") {
		t.Error("the URI has another seed")
	}
	for _, name := range []string{"phone", "PHONE"} {
		if _, err := w.createDevice("/Team/", name); !errors.Is(err, ErrEntityExists) {
			t.Errorf("a second device %s: %v, want %v", name, err, ErrEntityExists)
		}
	}
	for _, name := range []string{"", "a/b", "a b", "a:b", "ä", "phone\n", "*", strings.Repeat("x", maxDeviceName+1)} {
		if _, err := w.createDevice("/", name); !errors.Is(err, ErrValidation) {
			t.Errorf("a device %.20q: %v, want %v", name, err, ErrValidation)
		}
	}
	phone := w.mustDevice("phone")
	if err := phone.verify(w.alice, phone.code(0)); !errors.Is(err, ErrMFACode) {
		t.Errorf("the code of a device that is nobody's: %v, want %v", err, ErrMFACode)
	}
	phone.mustEnable("alice")
	if err := phone.enable("alice"); !errors.Is(err, ErrEntityExists) {
		t.Errorf("enabled twice: %v, want %v", err, ErrEntityExists)
	}
	if got := w.devices("alice"); len(got) != 1 || got[0] != phone.serial {
		t.Errorf("devices of alice = %v", got)
	}
	if err := w.deleteDevice(phone.serial); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("deleting a device in use: %v, want %v", err, ErrDeleteConflict)
	}
	if err := w.deactivate(RootName, phone.serial); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("taking it from another: %v, want %v", err, ErrNoSuchEntity)
	}
	if err := w.deactivate("alice", phone.serial); err != nil {
		t.Fatal(err)
	}
	if got := w.devices("alice"); got != nil {
		t.Errorf("devices of alice = %v, want none", got)
	}
	if err := w.deleteDevice(phone.serial); err != nil {
		t.Fatal(err)
	}
	if err := w.deleteDevice(phone.serial); !errors.Is(err, ErrNoSuchEntity) {
		t.Errorf("deleting it again: %v, want %v", err, ErrNoSuchEntity)
	}
	w.mustDevice("phone")
}

func (w *sessionWorld) deleteDevice(serial string) error {
	w.t.Helper()
	return w.DeleteVirtualMFADevice(w.grant(authz.IAMDeleteVirtualMFADevice, serial), testAccount, serial)
}

func (w *sessionWorld) deactivate(user, serial string) error {
	w.t.Helper()
	return w.DeactivateMFADevice(w.on(authz.IAMDeactivateMFADevice, user), testAccount, user, serial)
}

// Each code is good once, in one way of writing it, also after a restart.
func TestCodesAreGoodOnce(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	first, second := phone.code(-1), phone.code(0)
	phone.mustEnable("alice")
	for _, code := range []string{first, second} {
		if err := phone.verify(w.alice, code); !errors.Is(err, ErrMFACode) {
			t.Errorf("a code that enabled the device: %v, want %v", err, ErrMFACode)
		}
	}
	w.later(2)
	code := phone.code(0)
	for _, variant := range []string{" " + code, code + " ", code + "\n", "\t" + code, code[:3] + " " + code[3:], code[:3] + "-" + code[3:], "0" + code, code + "\x00", ""} {
		if err := phone.verify(w.alice, variant); !errors.Is(err, ErrMFACode) {
			t.Errorf("the code as %q: %v, want %v", variant, err, ErrMFACode)
		}
	}
	w.later(20)
	code = phone.code(0)
	if err := phone.verify(w.alice, code); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		for _, c := range []string{code, phone.code(-1)} {
			if err := phone.verify(w.alice, c); !errors.Is(err, ErrMFACode) {
				t.Errorf("%s a used code or one before it: %v, want %v", when, err, ErrMFACode)
			}
		}
	}
	refused("again,")
	w.reopen()
	refused("after a restart,")
	if err := w.deactivate("alice", phone.serial); err != nil {
		t.Fatal(err)
	}
	if err := phone.enable("alice"); !errors.Is(err, ErrMFACode) {
		t.Errorf("enabled anew with used codes: %v, want %v", err, ErrMFACode)
	}
	w.later(2)
	phone.mustEnable("alice")
	w.later(1)
	if err := phone.verify(w.alice, phone.code(0)); err != nil {
		t.Errorf("the next code: %v", err)
	}
}

func TestCodesOfOthers(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	phone.mustEnable("alice")
	w.later(2)
	root := w.credential(w.root.ID)
	if err := phone.verify(root, phone.code(0)); !errors.Is(err, ErrMFACode) {
		t.Errorf("another's device: %v, want %v", err, ErrMFACode)
	}
	if err := w.VerifyMFA("999999999999", w.alice.PrincipalID, phone.serial, phone.code(0), w.now); !errors.Is(err, ErrMFACode) {
		t.Errorf("a device of another account: %v, want %v", err, ErrMFACode)
	}
	for _, serial := range []string{"", "x", strings.ToUpper(phone.serial), phone.serial + "x"} {
		if err := w.VerifyMFA(testAccount, w.alice.PrincipalID, serial, phone.code(0), w.now); !errors.Is(err, ErrMFACode) {
			t.Errorf("the device %q: %v, want %v", serial, err, ErrMFACode)
		}
	}
	if err := phone.verify(w.alice, phone.code(0)); err != nil {
		t.Errorf("alice's own: %v", err)
	}
}

// Of many calls with one code, one succeeds.
func TestOneCodeConcurrently(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	phone.mustEnable("alice")
	w.later(2)
	code := phone.code(0)
	var wg sync.WaitGroup
	var good, wrong atomic.Int64
	for range 8 {
		wg.Go(func() {
			switch err := phone.verify(w.alice, code); {
			case err == nil:
				good.Add(1)
			case errors.Is(err, ErrMFACode):
				wrong.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 || wrong.Load() != 7 {
		t.Errorf("of 8 calls with one code %d were good and %d wrong, want 1 and 7", good.Load(), wrong.Load())
	}
}

func TestWrongCodesAreThrottled(t *testing.T) {
	w := newSessionWorld(t)
	phone, tablet := w.mustDevice("phone"), w.mustDevice("tablet")
	phone.mustEnable("alice")
	tablet.mustEnable("alice")
	w.later(2)
	wrong := "000000"
	for wrong == phone.code(-1) || wrong == phone.code(0) || wrong == phone.code(1) {
		wrong = "1" + wrong[1:]
	}
	for n := range maxWrongCodes {
		if err := phone.verify(w.alice, wrong); !errors.Is(err, ErrMFACode) {
			t.Fatalf("wrong code %d: %v, want %v", n, err, ErrMFACode)
		}
	}
	if err := phone.verify(w.alice, phone.code(0)); !errors.Is(err, ErrMFAThrottled) {
		t.Errorf("a right code after ten wrong ones: %v, want %v", err, ErrMFAThrottled)
	}
	if err := tablet.verify(w.alice, tablet.code(0)); err != nil {
		t.Errorf("another device: %v", err)
	}
	w.now = w.now.Add(wrongCodeWindow - time.Second)
	if err := phone.verify(w.alice, phone.code(0)); !errors.Is(err, ErrMFAThrottled) {
		t.Errorf("within the ten minutes: %v, want %v", err, ErrMFAThrottled)
	}
	w.now = w.now.Add(time.Second)
	for range 12 { // right ones are not counted
		w.later(1)
		if err := phone.verify(w.alice, phone.code(0)); err != nil {
			t.Errorf("after the ten minutes: %v", err)
		}
	}
}

// Wrong codes at once do not get past the limit.
func TestWrongCodesConcurrently(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	phone.mustEnable("alice")
	w.later(2)
	var tried atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			err := w.attempt(testAccount, phone.serial, w.now, func() error { tried.Add(1); return ErrMFACode })
			if !errors.Is(err, ErrMFACode) && !errors.Is(err, ErrMFAThrottled) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := tried.Load(); n != maxWrongCodes {
		t.Errorf("%d codes were tried, want %d", n, maxWrongCodes)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	var th mfaThrottle
	start := time.Now()
	here, idle, there := throttleShare{account: testAccount}, throttleShare{testAccount, true}, throttleShare{account: "444455556666"}
	for n := range maxThrottled {
		if !th.enter(here, fmt.Sprint(n), start) {
			t.Fatalf("device %d is refused", n)
		}
	}
	if th.enter(here, "more", start.Add(time.Minute)) {
		t.Error("there is room for more devices than are remembered")
	}
	if !th.enter(here, "0", start.Add(time.Minute)) {
		t.Error("a device that is remembered is refused, since there is no room for others")
	}
	for _, s := range []throttleShare{there, idle} {
		if !th.enter(s, "phone", start.Add(time.Minute)) {
			t.Errorf("a device of %+v is refused, since %s has no room", s, testAccount)
		}
	}
	if !th.enter(here, "more", start.Add(wrongCodeWindow)) {
		t.Error("there is no room after the window")
	}
	if n := len(th.wrong[here]); n != 2 { // one is "0", whose second try is within the window
		t.Errorf("after the window %d devices are remembered, want 2", n)
	}
	th.enter(there, "phone", start.Add(3*wrongCodeWindow))
	if len(th.wrong) != 1 || len(th.wrong[there]["phone"]) != 1 {
		t.Errorf("after another window there is %v, want one try of one account", th.wrong)
	}
	th.forgive(there, "phone", start.Add(3*wrongCodeWindow))
	th.forgive(there, "phone", start)
	if len(th.wrong) != 0 {
		t.Errorf("after the last try is forgiven there is %v, want nothing", th.wrong)
	}
}

// Whoever guesses at one's devices, the ones of other accounts go on.
func TestWrongCodesOfOneAccount(t *testing.T) {
	w := newSessionWorld(t)
	phone := w.mustDevice("phone")
	phone.mustEnable("alice")
	w.later(2)
	for n := range 2 * maxThrottled {
		w.throttle.enter(throttleShare{"444455556666", n%2 == 0}, fmt.Sprint(n), w.now)
		w.throttle.enter(throttleShare{testAccount, true}, fmt.Sprint(n), w.now)
	}
	if err := phone.verify(w.alice, phone.code(0)); err != nil {
		t.Errorf("a right code while other devices are guessed at: %v", err)
	}
	for n := range maxThrottled {
		w.throttle.enter(throttleShare{testAccount, false}, fmt.Sprint(n), w.now)
	}
	w.later(1)
	if err := phone.verify(w.alice, phone.code(0)); !errors.Is(err, ErrMFAThrottled) {
		t.Errorf("a right code while the account's own are: %v, want %v", err, ErrMFAThrottled)
	}
}

func TestDevicesOfAUserAreLimited(t *testing.T) {
	w := newSessionWorld(t)
	for n := range MaxMFADevicesPerUser {
		w.mustDevice(fmt.Sprint("d", n)).mustEnable("alice")
	}
	more := w.mustDevice("more")
	if err := more.enable("alice"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("a ninth device: %v, want %v", err, ErrLimitExceeded)
	}
	more.mustEnable(RootName)
	if got := len(w.devices("alice")); got != MaxMFADevicesPerUser {
		t.Errorf("alice has %d devices, want %d", got, MaxMFADevicesPerUser)
	}
	w.cfgOf().MaxUsers = MaxMFADevicesPerUser + 1
	if _, err := w.createDevice("/", "beyond"); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("more devices than users: %v, want %v", err, ErrLimitExceeded)
	}
	w.mustUser("bob")
	w.cfgOf().MaxUsers = DefaultMaxUsers
	w.mustDevice("bobs").mustEnable("bob")
	if err := w.deleteUser("bob"); !errors.Is(err, ErrDeleteConflict) {
		t.Errorf("deleting a user with a device: %v, want %v", err, ErrDeleteConflict)
	}
	w.reopen()
	if got := len(w.devices("alice")); got != MaxMFADevicesPerUser {
		t.Errorf("after a restart alice has %d devices, want %d", got, MaxMFADevicesPerUser)
	}
	if got := w.devices(RootName); len(got) != 1 || got[0] != more.serial {
		t.Errorf("after a restart root has %v", got)
	}
}

func (w *sessionWorld) cfgOf() *Config { return &w.IAM.cfg }
