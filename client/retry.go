package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxAttempts is how often a call is made at most.
const maxAttempts = 4

type (
	methodName struct {
		Service string `json:"service,omitempty"`
		Method  string `json:"method,omitempty"`
	}
	retryPolicy struct {
		MaxAttempts          int      `json:"maxAttempts"`
		InitialBackoff       string   `json:"initialBackoff"`
		MaxBackoff           string   `json:"maxBackoff"`
		BackoffMultiplier    float64  `json:"backoffMultiplier"`
		RetryableStatusCodes []string `json:"retryableStatusCodes"`
	}
	methodConfig struct {
		Name        []methodName `json:"name"`
		Timeout     string       `json:"timeout,omitempty"`
		RetryPolicy *retryPolicy `json:"retryPolicy,omitempty"`
	}
	retryThrottling struct {
		MaxTokens  int     `json:"maxTokens"`
		TokenRatio float64 `json:"tokenRatio"`
	}
	config struct {
		MethodConfig    []methodConfig  `json:"methodConfig"`
		RetryThrottling retryThrottling `json:"retryThrottling"`
	}
)

// serviceConfig tells gRPC the deadline of every call, of which a stream has none, and which calls to repeat, with jitter, when the server cannot be
// reached. The budget stops repeating while most calls fail.
func serviceConfig(timeout time.Duration) string {
	deadline := fmt.Sprintf("%.9fs", timeout.Seconds())
	again := methodConfig{Timeout: deadline, RetryPolicy: &retryPolicy{
		MaxAttempts: maxAttempts, InitialBackoff: "0.1s", MaxBackoff: "2s", BackoffMultiplier: 3, RetryableStatusCodes: []string{"UNAVAILABLE"},
	}, Name: methodNames(repeatable())}
	streams := methodConfig{Name: methodNames(methods(streaming))}
	b, err := json.Marshal(config{
		MethodConfig:    []methodConfig{again, streams, {Name: []methodName{{}}, Timeout: deadline}},
		RetryThrottling: retryThrottling{MaxTokens: 100, TokenRatio: 0.1},
	})
	if err != nil {
		panic("client: internal error: " + err.Error())
	}
	return string(b)
}

func methodNames(full []string) []methodName {
	names := make([]methodName, len(full))
	for i, name := range full {
		names[i].Service, names[i].Method, _ = strings.Cut(strings.TrimPrefix(name, "/"), "/")
	}
	return names
}

// repeater makes an Error of every status, and repeats calls that the server asks to repeat later: it has not done those.
type repeater struct {
	timeout  time.Duration
	provider *CredentialsProvider // nil with credentials that stay
}

// intercept makes a call with credentials that are good. If kmsd refuses them all the same, it makes it once more with others: kmsd has
// done nothing.
func (r repeater) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if r.provider == nil {
		return r.repeat(ctx, method, req, reply, cc, invoke, opts...)
	}
	used, err := r.provider.retrieve(ctx)
	if err != nil {
		return err
	}
	err = r.repeat(ctx, method, req, reply, cc, invoke, opts...)
	if !Is(err, "ExpiredTokenException") && !Is(err, "UnrecognizedClientException") || !r.provider.refused(used) {
		return err
	}
	if _, err := r.provider.retrieve(ctx); err != nil {
		return err
	}
	return r.repeat(ctx, method, req, reply, cc, invoke, opts...)
}

func (r repeater) repeat(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	began := time.Now()
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(r.timeout))
	defer cancel()
	for attempt := 1; attempt < maxAttempts; attempt++ {
		delay, ok := retryDelay(err)
		if !ok || !sleep(ctx, delay) {
			break
		}
		if err = invoke(ctx, method, req, reply, cc, opts...); err == nil {
			return nil
		}
	}
	return errorOf(err)
}

// retryDelay returns when the server wants a refused call to be made again, if it does.
func retryDelay(err error) (time.Duration, bool) {
	st := status.Convert(err)
	if st.Code() != codes.ResourceExhausted && st.Code() != codes.Unavailable {
		return 0, false
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return max(0, info.GetRetryDelay().AsDuration()), true
		}
	}
	return 0, false
}

// sleep waits, and reports whether there was time for that.
func sleep(ctx context.Context, d time.Duration) bool {
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
