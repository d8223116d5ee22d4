package server

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/iam"
	"github.com/kmsd/kmsd/iam/sigv4"
	"github.com/kmsd/kmsd/internal/front"
)

// byHTTP checks SigV4 over an HTTP request: method, path, query, host, body, date and every x-amz- header. The errors have AWS's names and words, which
// its clients match on.
func (c *call) byHTTP(f *front.Call) error {
	sig, err := sigv4.ParseHTTP(f.Signed)
	if err != nil {
		return httpSignatureFailure(err)
	}
	c.event.Actor.CredentialID = sig.AccessKeyID // claimed, not proven: authMethod says NONE
	now := c.event.ReceivedTime
	if err := sig.Fresh(now); err != nil {
		return clockFailure(err, sig.Time, now)
	}
	if err := scopeFailure(sig, f.Service, c.s.place.Region); err != nil {
		return err
	}
	token := ""
	if v := f.Signed.Headers[headerToken]; len(v) > 0 { // ParseHTTP has refused two
		token = v[0]
	}
	cred, err := c.claimed(sig.AccessKeyID, token)
	if err != nil {
		return inWordsOfAWS(err)
	}
	if err := sig.Verify(cred.SigningKey(sig.Date, sig.Region, sig.Service), *f.Signed, now); err != nil {
		return httpSignatureFailure(err)
	}
	if err := c.become(cred, audit.AuthAccessKey); err != nil {
		return inWordsOfAWS(err)
	}
	if !c.m.mutating {
		return nil
	}
	// AWS's clients send no nonce. The signature is one: it is over the date and all that tells two requests apart.
	if err := c.s.nonces.first(cred.Account, cred.ID, sig.Hex(), now); err != nil {
		return signAnew(err)
	}
	return nil
}

// signAnew is err, but for a request that was sent before. It is not carried out; but it need not be a repetition: the SDK for Python, and so the aws
// command line, does not sign the id of an invocation, and asks twice for the same in one second with one signature. Throttling makes it wait, sign anew
// and ask again, as it does by itself where AWS throttles.
func signAnew(err error) error {
	var f *failure
	if !errors.As(err, &f) || f.class != classReplay {
		return err
	}
	return &failure{code: codes.ResourceExhausted, reason: reasonThrottling, message: f.message, class: f.class}
}

// httpSignatureFailure is how a call ends whose signature is not good because of err.
func httpSignatureFailure(err error) *failure {
	switch {
	case errors.Is(err, sigv4.ErrMissing):
		return unauthenticated("MissingAuthenticationTokenException", "Missing Authentication Token", "NoCredentials")
	case errors.Is(err, sigv4.ErrIncomplete):
		return unauthenticated("IncompleteSignatureException", detail(err, sigv4.ErrIncomplete), "IncompleteSignature")
	case errors.Is(err, sigv4.ErrUnsigned):
		return unauthenticated("InvalidSignatureException", detail(err, sigv4.ErrUnsigned), "UnsignedHeader")
	case errors.Is(err, sigv4.ErrScope):
		return unauthenticated("InvalidSignatureException",
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.", "Scope")
	}
	return unauthenticated("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.", "SignatureMismatch")
}

// detail is what err says beyond the sentinel that it wraps.
func detail(err, sentinel error) string {
	return strings.TrimPrefix(err.Error(), sentinel.Error()+": ") + "."
}

// clockFailure is how a call ends that was signed too long before now, or after.
func clockFailure(err error, signed, now time.Time) *failure {
	stamp := func(t time.Time) string { return t.UTC().Format(sigv4.TimeFormat) }
	message := "Signature expired: " + stamp(signed) + " is now earlier than " + stamp(now.Add(-sigv4.MaxSkew)) + " (" + stamp(now) + " - 5 min.)"
	if errors.Is(err, sigv4.ErrNotYetValid) {
		message = "Signature not yet current: " + stamp(signed) + " is still later than " + stamp(now.Add(sigv4.MaxSkew)) + " (" + stamp(now) + " + 5 min.)"
	}
	return unauthenticated("InvalidSignatureException", message, "ClockSkew")
}

// scopeFailure is nil if a signature is for service in a region in which kmsd, which is configured for home, serves it. Where service is empty, because
// nothing says what is called, any service will do that kmsd has.
func scopeFailure(sig sigv4.Signature, service, home string) error {
	if service == "" {
		service = sig.Service
	}
	if !iam.ServesScope(home, service, home) {
		service = iam.Service
	}
	var wrong []string
	if !iam.ServesScope(sig.Region, service, home) {
		wrong = append(wrong, "Credential should be scoped to a valid region, not '"+sig.Region+"'.")
	}
	if sig.Service != service {
		wrong = append(wrong, "Credential should be scoped to correct service: '"+service+"'.")
	} else if len(wrong) > 0 {
		wrong = append(wrong, "This kmsd serves the region '"+home+"': set AWS_REGION and AWS_DEFAULT_REGION, or region in the profile, to '"+home+"'.")
	}
	if len(wrong) == 0 {
		return nil
	}
	return unauthenticated("InvalidSignatureException", strings.Join(wrong, " "), "Scope")
}

// inWordsOfAWS says of credentials that are not accepted what AWS says.
func inWordsOfAWS(err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	switch f.reason {
	case "UnrecognizedClientException":
		f.message = "The security token included in the request is invalid."
	case "ExpiredTokenException":
		f.message = "The security token included in the request is expired"
	}
	return f
}
