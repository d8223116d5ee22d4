package keypair

import (
	"crypto/subtle"
	"sync"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// dcrd has the arithmetic of secp256k1's field and of the scalars in constant time, but not that of its points, nor
// the inverse of a scalar. Both are here; nothing branches on a scalar, and nothing is looked up by a part of one.

// point is a point of secp256k1 in projective coordinates: x = X/Z, y = Y/Z. (0, 1, 0) is the point at infinity.
// Coordinates have magnitude 1, as dcrd calls it.
type point struct{ x, y, z secp256k1.FieldVal }

// add sets p to the sum of a and b, whatever they are: algorithm 7 of Renes, Costello and Batina, "Complete addition
// formulas for prime order elliptic curves" (2015), for y² = x³ + 7. p may be a or b.
func (p *point) add(a, b *point) {
	const b3 = 21
	var t0, t1, t2, t3, t4, x, y, z, s secp256k1.FieldVal
	t0.Mul2(&a.x, &b.x)
	t1.Mul2(&a.y, &b.y)
	t2.Mul2(&a.z, &b.z)
	// The sums x1y2+x2y1, y1z2+y2z1 and x1z2+x2z1 have magnitude 4; the last is multiplied by b3.
	t3.Mul2(x.Add2(&a.x, &a.y), y.Add2(&b.x, &b.y)).Add(s.Add2(&t0, &t1).Negate(2))
	t4.Mul2(x.Add2(&a.y, &a.z), y.Add2(&b.y, &b.z)).Add(s.Add2(&t1, &t2).Negate(2))
	y.Mul2(x.Add2(&a.x, &a.z), z.Add2(&b.x, &b.z)).Add(s.Add2(&t0, &t2).Negate(2))
	y.Normalize().MulInt(b3).Normalize()
	// 3x1x2, b3z1z2, y1y2+b3z1z2 and y1y2-b3z1z2 have magnitudes 3, 1, 2 and 3.
	t0.MulInt(3)
	t2.MulInt(b3).Normalize()
	z.Add2(&t1, &t2)
	t1.Add(s.NegateVal(&t2, 1))
	x.Mul2(&t3, &t1).Add(s.Mul2(&t4, &y).Negate(1))
	y.Mul(&t0).Add(s.Mul2(&t1, &z))
	z.Mul(&t4).Add(s.Mul2(&t0, &t3))
	p.x.Set(x.Normalize())
	p.y.Set(y.Normalize())
	p.z.Set(z.Normalize())
}

// choose sets p to table[i], and looks at every entry.
func (p *point) choose(table *[16]point, i byte) {
	*p = point{}
	for j := range table {
		is := uint8(subtle.ConstantTimeByteEq(byte(j), i))
		entry := table[j]
		p.x.Add(entry.x.MulInt(is))
		p.y.Add(entry.y.MulInt(is))
		p.z.Add(entry.z.MulInt(is))
	}
}

// multiples[i][j] is j times 16^i times the generator; so k times the generator is a sum of one of each row.
var multiples = sync.OnceValue(func() *[64][16]point {
	var one secp256k1.ModNScalar
	var g secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(one.SetInt(1), &g) // one is no secret
	g.ToAffine()
	table := new([64][16]point)
	first := point{g.X, g.Y, g.Z}
	for i := range table {
		table[i][0].y.SetInt(1)
		for j := 1; j < 16; j++ {
			table[i][j].add(&table[i][j-1], &first)
		}
		first.add(&table[i][15], &first)
	}
	return table
})

// timesGenerator returns the affine coordinates, normalized, of k times the generator. k is not zero.
func timesGenerator(k *secp256k1.ModNScalar) (x, y secp256k1.FieldVal) {
	digits := k.Bytes()
	defer clear(digits[:])
	table := multiples()
	var sum, addend point
	sum.y.SetInt(1)
	for i := range table {
		addend.choose(&table[i], digits[31-i/2]>>(4*(i%2))&0xf)
		sum.add(&sum, &addend)
	}
	sum.z.Inverse()
	x.Mul2(&sum.x, &sum.z).Normalize()
	y.Mul2(&sum.y, &sum.z).Normalize()
	return x, y
}

// invert returns the inverse of k, which is not zero: k^(n-2), where n is the order of the curve.
func invert(k *secp256k1.ModNScalar) secp256k1.ModNScalar {
	const exponent = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe" +
		"\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x3f"
	var power secp256k1.ModNScalar
	power.SetInt(1)
	for i := range 8 * len(exponent) {
		power.Square()
		if exponent[i/8]>>(7-i%8)&1 == 1 { // the exponent is no secret
			power.Mul(k)
		}
	}
	return power
}
