package client

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	kmsv1 "github.com/kmsd/kmsd/proto/kmsd/kms/v1"
	stsv1 "github.com/kmsd/kmsd/proto/kmsd/sts/v1"
)

// methods returns the full names of the methods that are.
func methods(are func(protoreflect.MethodDescriptor) bool) []string {
	var names []string
	for _, file := range files() {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if m := service.Methods().Get(j); are(m) {
					names = append(names, fullName(m))
				}
			}
		}
	}
	return names
}

func fullName(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// reading returns the full names of all methods that change nothing: those of the CryptoService and the BatchService, and those that get, list or
// describe. They may be repeated, and their signatures need no nonce. Whatever is not among them is treated as a change. GetSessionToken is one: it
// uses up a code; and so is GetParametersForImport, which makes a key.
func reading() []string {
	return methods(func(m protoreflect.MethodDescriptor) bool {
		switch fullName(m) {
		case stsv1.STSService_GetSessionToken_FullMethodName, kmsv1.KeyService_GetParametersForImport_FullMethodName:
			return false
		}
		name, service := string(m.Name()), m.Parent().Name()
		return service == "CryptoService" || service == "BatchService" ||
			strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Describe")
	})
}

// repeatable returns the full names of the methods that may be made again when it is not known whether they were carried out: those that change
// nothing, and those whose requests have a client token. A stream is not one: its answers are not one thing.
func repeatable() []string {
	reads := map[string]bool{}
	for _, name := range reading() {
		reads[name] = true
	}
	return methods(func(m protoreflect.MethodDescriptor) bool {
		return !streaming(m) && (reads[fullName(m)] || m.Input().Fields().ByName(tokenField) != nil)
	})
}

func streaming(m protoreflect.MethodDescriptor) bool {
	return m.IsStreamingClient() || m.IsStreamingServer()
}
