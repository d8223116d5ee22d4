package keypair

import (
	"bytes"
	"crypto/sha3"

	"github.com/kmsd/kmsd/crypto"
)

// The library verifies messages, but not a mu that was computed elsewhere (EXTERNAL_MU). This file does: algorithm 8
// of FIPS 204 from its step 8 on. Everything in it is public, so it need not take the same time for all signatures.

const (
	mldsaN    = 256     // coefficients of a polynomial
	mldsaQ    = 8380417 // the modulus
	mldsaD    = 13      // dropped bits of t
	mldsaZeta = 1753    // a 512th root of unity
	mldsaInvN = 8347681 // 256^-1 mod q
)

// mldsaSet is a parameter set (FIPS 204, tables 1 and 2).
type mldsaSet struct {
	k, l      int // rows and columns of A
	challenge int // bytes of the commitment hash
	tau       int // coefficients of the challenge that are not zero
	zBits     int // bits of a coefficient of z
	gamma2    uint32
	w1Bits    int    // bits of a coefficient of w1
	bound     uint32 // gamma1 - beta: what the coefficients of z are below
	omega     int    // hints at most
}

func mldsaSetOf(spec crypto.Spec) mldsaSet {
	switch spec {
	case crypto.SpecMLDSA44:
		return mldsaSet{k: 4, l: 4, challenge: 32, tau: 39, zBits: 18, gamma2: (mldsaQ - 1) / 88, w1Bits: 6, bound: 1<<17 - 78, omega: 80}
	case crypto.SpecMLDSA65:
		return mldsaSet{k: 6, l: 5, challenge: 48, tau: 49, zBits: 20, gamma2: (mldsaQ - 1) / 32, w1Bits: 4, bound: 1<<19 - 196, omega: 55}
	}
	return mldsaSet{k: 8, l: 7, challenge: 64, tau: 60, zBits: 20, gamma2: (mldsaQ - 1) / 32, w1Bits: 4, bound: 1<<19 - 120, omega: 75}
}

// polynomial has its coefficients modulo q, from 0 to q-1.
type polynomial [mldsaN]uint32

// verifyMu reports whether signature is one of mu, 64 bytes, under public, the encoding of a public key of spec.
func verifyMu(spec crypto.Spec, public, mu, signature []byte) bool {
	s := mldsaSetOf(spec)
	if len(public) != 32+s.k*mldsaN*10/8 || len(signature) != s.challenge+s.l*mldsaN*s.zBits/8+s.omega+s.k {
		return false
	}
	challenge, rest := signature[:s.challenge], signature[s.challenge:]
	z, ok := s.decodeZ(rest[:s.l*mldsaN*s.zBits/8])
	if !ok {
		return false
	}
	hints, ok := s.decodeHints(rest[s.l*mldsaN*s.zBits/8:])
	if !ok {
		return false
	}
	c := s.sampleInBall(challenge)
	c.ntt()
	h := sha3.NewSHAKE256()
	h.Write(mu)
	for i := range s.k {
		w := s.commitment(public, z, &c, i)
		h.Write(s.encodeW1(s.useHints(&w, &hints[i])))
	}
	want := make([]byte, s.challenge)
	h.Read(want)
	return bytes.Equal(challenge, want)
}

// commitment returns row i of A·z - c·t1·2^d. z and c are transformed.
func (s *mldsaSet) commitment(public []byte, z []polynomial, c *polynomial, i int) polynomial {
	rho, t := public[:32], public[32+i*mldsaN*10/8:]
	var t1 polynomial
	for j, v := range unpack(t[:mldsaN*10/8], 10) {
		t1[j] = v << mldsaD
	}
	t1.ntt()
	var sums [mldsaN]uint64 // of up to 8 products below 2^46
	for j := range s.l {
		a := rejectionSample(rho, byte(j), byte(i))
		for n := range sums {
			sums[n] += uint64(a[n]) * uint64(z[j][n])
		}
	}
	var w polynomial
	for n := range w {
		w[n] = uint32((sums[n] + uint64(c[n])*uint64(mldsaQ-t1[n])) % mldsaQ)
	}
	w.inverseNTT()
	return w
}

// unpack returns the coefficients that b holds, lowest bits first (algorithm 18).
func unpack(b []byte, size int) [mldsaN]uint32 {
	var out [mldsaN]uint32
	var buffer uint64
	var held int
	for i := range out {
		for held < size {
			buffer |= uint64(b[0]) << held
			b, held = b[1:], held+8
		}
		out[i] = uint32(buffer & (1<<size - 1))
		buffer, held = buffer>>size, held-size
	}
	return out
}

// decodeZ returns z, transformed, if every coefficient is within its bound.
func (s *mldsaSet) decodeZ(b []byte) ([]polynomial, bool) {
	z := make([]polynomial, s.l)
	gamma1 := uint32(1) << (s.zBits - 1)
	for i := range z {
		size := mldsaN * s.zBits / 8
		for j, v := range unpack(b[i*size:(i+1)*size], s.zBits) {
			if v > gamma1 && v-gamma1 >= s.bound || v <= gamma1 && gamma1-v >= s.bound {
				return nil, false
			}
			z[i][j] = (gamma1 + mldsaQ - v) % mldsaQ
		}
		z[i].ntt()
	}
	return z, true
}

// decodeHints is algorithm 21: one encoding of each set of hints and no other.
func (s *mldsaSet) decodeHints(b []byte) ([][mldsaN]bool, bool) {
	hints := make([][mldsaN]bool, s.k)
	positions, ends := b[:s.omega], b[s.omega:]
	at := 0
	for i := range hints {
		end := int(ends[i])
		if end < at || end > s.omega {
			return nil, false
		}
		for first := at; at < end; at++ {
			if at > first && positions[at-1] >= positions[at] {
				return nil, false
			}
			hints[i][positions[at]] = true
		}
	}
	for _, unused := range positions[at:] {
		if unused != 0 {
			return nil, false
		}
	}
	return hints, true
}

// sampleInBall is algorithm 29.
func (s *mldsaSet) sampleInBall(seed []byte) polynomial {
	h := sha3.NewSHAKE256()
	h.Write(seed)
	var signs [8]byte
	h.Read(signs[:])
	var c polynomial
	for i := mldsaN - s.tau; i < mldsaN; i++ {
		var j [1]byte
		for h.Read(j[:]); int(j[0]) > i; h.Read(j[:]) {
		}
		c[i] = c[j[0]]
		bit := i + s.tau - mldsaN
		c[j[0]] = 1
		if signs[bit/8]>>(bit%8)&1 == 1 {
			c[j[0]] = mldsaQ - 1
		}
	}
	return c
}

// rejectionSample is algorithm 30, with the seed rho || s || r: an entry of A, transformed.
func rejectionSample(rho []byte, s, r byte) polynomial {
	g := sha3.NewSHAKE128()
	g.Write(rho)
	g.Write([]byte{s, r})
	var a polynomial
	var block [168]byte // the rate of SHAKE128, a multiple of 3
	for n := 0; n < mldsaN; {
		g.Read(block[:])
		for b := block[:]; len(b) > 0 && n < mldsaN; b = b[3:] {
			if v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2]&0x7f)<<16; v < mldsaQ {
				a[n] = v
				n++
			}
		}
	}
	return a
}

// useHints is algorithm 40 over a polynomial: the high bits of w, corrected.
func (s *mldsaSet) useHints(w *polynomial, hints *[mldsaN]bool) *[mldsaN]byte {
	var w1 [mldsaN]byte
	m := (mldsaQ - 1) / (2 * s.gamma2)
	for i, r := range w {
		// Algorithm 36: r = high·2·gamma2 + low, with low in (-gamma2, gamma2], but for r near q.
		high := (r + s.gamma2 - 1) / (2 * s.gamma2)
		positive := r > high*2*s.gamma2
		if high == m { // r - low would be q-1: high is 0, and low one less than 0 or below
			high, positive = 0, false
		}
		if hints[i] && positive {
			high = (high + 1) % m
		} else if hints[i] {
			high = (high + m - 1) % m
		}
		w1[i] = byte(high)
	}
	return &w1
}

// encodeW1 is algorithm 28 over a polynomial.
func (s *mldsaSet) encodeW1(w1 *[mldsaN]byte) []byte {
	out := make([]byte, 0, mldsaN*s.w1Bits/8)
	var buffer, held int
	for _, v := range w1 {
		buffer |= int(v) << held
		for held += s.w1Bits; held >= 8; held -= 8 {
			out = append(out, byte(buffer))
			buffer >>= 8
		}
	}
	return out
}

// zetas are the powers of mldsaZeta in the order in which the transform uses them (FIPS 204, appendix B).
var zetas = func() (powers [mldsaN]uint64) {
	for m := range powers {
		powers[m] = 1
		for bit := range 8 { // the exponent is m with its bits reversed
			powers[m] = powers[m] * powers[m] % mldsaQ
			if m>>bit&1 == 1 {
				powers[m] = powers[m] * mldsaZeta % mldsaQ
			}
		}
	}
	return powers
}()

// ntt is algorithm 41.
func (p *polynomial) ntt() {
	m := 0
	for size := mldsaN / 2; size >= 1; size /= 2 {
		for start := 0; start < mldsaN; start += 2 * size {
			m++
			for j := start; j < start+size; j++ {
				t := uint32(zetas[m] * uint64(p[j+size]) % mldsaQ)
				p[j+size] = (p[j] + mldsaQ - t) % mldsaQ
				p[j] = (p[j] + t) % mldsaQ
			}
		}
	}
}

// inverseNTT is algorithm 42.
func (p *polynomial) inverseNTT() {
	m := mldsaN
	for size := 1; size < mldsaN; size *= 2 {
		for start := 0; start < mldsaN; start += 2 * size {
			m--
			for j := start; j < start+size; j++ {
				t := p[j]
				p[j] = (t + p[j+size]) % mldsaQ
				p[j+size] = uint32((mldsaQ - zetas[m]) * uint64(t+mldsaQ-p[j+size]) % mldsaQ)
			}
		}
	}
	for j := range p {
		p[j] = uint32(uint64(p[j]) * mldsaInvN % mldsaQ)
	}
}
