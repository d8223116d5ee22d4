package server_test

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/internal/kmstest"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// A call that was begun before its caller lost what allowed it, and whose message comes after, is refused.
func TestCallerRevokedBeforeTheMessage(t *testing.T) {
	for name, revoke := range map[string]func(t *testing.T, iam *revoker){
		"the policy was deleted":           func(_ *testing.T, r *revoker) { r.deletePolicy() },
		"the access key was deactivated":   func(_ *testing.T, r *revoker) { r.deactivateKey() },
		"policy, key and user are no more": func(_ *testing.T, r *revoker) { r.deletePolicy(); r.deleteKey(); r.deleteUser() },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, nil)
			mallory := d.User("mallory", kmstest.Allow([]string{"iam:*"}))
			d.User("sleeper")
			method := iamv1.IAMService_PutUserPolicy_FullMethodName
			body := marshal(t, iamv1.PutUserPolicyRequest_builder{UserName: "sleeper", PolicyName: "backdoor", PolicyDocument: kmstest.Allow([]string{"*"})}.Build())
			r, w := io.Pipe()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+d.Address()+method, r)
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range d.sign(mallory, method, rand.Text(), time.Now()) {
				req.Header[name] = v
			}
			req.Header.Set("Content-Type", "application/grpc")
			req.Header.Set("Te", "trailers")
			done := make(chan answer)
			go func() {
				resp, err := d.http.Do(req)
				if err != nil {
					done <- answer{err: err}
					return
				}
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				done <- parseAnswer(resp, b)
			}()
			if _, err := w.Write(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))); err != nil { // headers and length only
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // kmsd waits for the message
			revoke(t, &revoker{d, mallory.AccessKeyID})
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if got := <-done; got.err != nil || got.code != codes.PermissionDenied && got.code != codes.Unauthenticated {
				t.Errorf("the call: %v, want it refused", got)
			}
			_, err = d.Root().IAM().GetUserPolicy(t.Context(), iamv1.GetUserPolicyRequest_builder{UserName: "sleeper", PolicyName: "backdoor"}.Build())
			if err == nil {
				t.Error("the change was made")
			}
		})
	}
}

// revoker takes from mallory what she has.
type revoker struct {
	*door
	key string
}

func (r *revoker) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Error(err)
	}
}

func (r *revoker) deletePolicy() {
	_, err := r.Root().IAM().DeleteUserPolicy(r.t.Context(), iamv1.DeleteUserPolicyRequest_builder{UserName: "mallory", PolicyName: "policya"}.Build())
	r.check(err)
}

func (r *revoker) deactivateKey() {
	_, err := r.Root().IAM().UpdateAccessKey(r.t.Context(), iamv1.UpdateAccessKeyRequest_builder{UserName: "mallory", AccessKeyId: r.key, Status: iamv1.StatusType_STATUS_TYPE_INACTIVE}.Build())
	r.check(err)
}

func (r *revoker) deleteKey() {
	_, err := r.Root().IAM().DeleteAccessKey(r.t.Context(), iamv1.DeleteAccessKeyRequest_builder{UserName: "mallory", AccessKeyId: r.key}.Build())
	r.check(err)
}

func (r *revoker) deleteUser() {
	_, err := r.Root().IAM().DeleteUser(r.t.Context(), iamv1.DeleteUserRequest_builder{UserName: "mallory"}.Build())
	r.check(err)
}
