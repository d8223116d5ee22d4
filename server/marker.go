package server

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"google.golang.org/grpc/codes"
)

// Markers are opaque and authentic: base64url of a MAC and a position, where the MAC is over the method, the caller, what the list is of, and the
// position. So a marker is good for nothing but the list that it came from.

const markerMAC = 16 // bytes

func (c *call) markerSum(scope, position string) []byte {
	sum := c.s.markers.Sum([]byte(strings.Join([]string{c.m.name, c.caller().ID, scope, position}, "\x00")))
	return sum[:markerMAC]
}

// marker returns the marker for what comes behind position.
func (c *call) marker(scope, position string) string {
	return base64.RawURLEncoding.EncodeToString(append(c.markerSum(scope, position), position...))
}

// position returns the position of a marker; the empty marker is the beginning.
func (c *call) position(scope, marker string) (string, error) {
	if marker == "" {
		return "", nil
	}
	bad := &failure{
		code: codes.InvalidArgument, reason: "InvalidMarkerException", class: "InvalidMarker",
		message: "the marker is not one that this list gave to this caller: begin without a marker",
	}
	if len(marker) > maxMarker {
		return "", bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || len(raw) < markerMAC {
		return "", bad
	}
	position := string(raw[markerMAC:])
	if subtle.ConstantTimeCompare(raw[:markerMAC], c.markerSum(scope, position)) != 1 {
		return "", bad
	}
	return position, nil
}

func pageSize(limit int32, usual int) int {
	if limit == 0 {
		return usual
	}
	return int(limit)
}
