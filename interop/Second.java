import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.EdDSAParameterSpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.crypto.BadPaddingException;
import javax.crypto.Cipher;
import javax.crypto.IllegalBlockSizeException;
import javax.crypto.KeyAgreement;
import javax.crypto.Mac;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;

/**
 * A second implementation of kmsd's cryptography, for the differential tests: the standard library of Java 17, which
 * has its own in Java. The protocol is that of second.py.
 *
 *     java Second.java
 */
public class Second {
    static class Refused extends Exception {
        Refused() {
            super(null, null, false, false);
        }
    }

    record Key(byte[] raw, PrivateKey privateKey, PublicKey publicKey) {}

    static final HexFormat HEX = HexFormat.of();
    static final Map<String, Key> KEYS = new HashMap<>();

    static String family(String spec) {
        return spec.startsWith("RSA") ? "RSA" : spec.contains("EDWARDS") ? "Ed25519" : "EC";
    }

    static Key load(String spec, byte[] priv, byte[] pub) throws GeneralSecurityException {
        if (spec.startsWith("HMAC")) return new Key(priv, null, null);
        KeyFactory f = KeyFactory.getInstance(family(spec));
        return new Key(null, f.generatePrivate(new PKCS8EncodedKeySpec(priv)), f.generatePublic(new X509EncodedKeySpec(pub)));
    }

    static String bits(String algorithm) {
        return algorithm.substring(algorithm.lastIndexOf('_') + 1);
    }

    static Signature signature(String algorithm) throws GeneralSecurityException {
        String h = bits(algorithm);
        if (algorithm.startsWith("RSASSA_PSS")) {
            Signature s = Signature.getInstance("RSASSA-PSS");
            s.setParameter(new PSSParameterSpec("SHA-" + h, "MGF1", new MGF1ParameterSpec("SHA-" + h), Integer.parseInt(h) / 8, 1));
            return s;
        }
        if (algorithm.startsWith("RSASSA_PKCS1")) return Signature.getInstance("SHA" + h + "withRSA");
        if (algorithm.startsWith("ECDSA")) return Signature.getInstance("SHA" + h + "withECDSA");
        Signature s = Signature.getInstance("EdDSA");
        s.setParameter(new EdDSAParameterSpec(algorithm.equals("ED25519_PH_SHA_512")));
        return s;
    }

    static OAEPParameterSpec oaepParameters(String algorithm) {
        String h = "SHA-" + bits(algorithm);
        return new OAEPParameterSpec(h, "MGF1", new MGF1ParameterSpec(h), PSource.PSpecified.DEFAULT);
    }

    static byte[][] run(String op, String algorithm, Key k, List<byte[]> in) throws Exception {
        switch (op) {
            case "sign" -> {
                Signature s = signature(algorithm);
                s.initSign(k.privateKey);
                s.update(in.get(0));
                return new byte[][] {s.sign()};
            }
            case "verify" -> {
                Signature s = signature(algorithm);
                s.initVerify(k.publicKey);
                s.update(in.get(0));
                try {
                    if (!s.verify(in.get(1))) throw new Refused();
                } catch (SignatureException e) {
                    throw new Refused();
                }
                return new byte[0][];
            }
            case "mac" -> {
                Mac m = Mac.getInstance("HmacSHA" + bits(algorithm));
                m.init(new SecretKeySpec(k.raw, "HMAC"));
                return new byte[][] {m.doFinal(in.get(0))};
            }
            case "encrypt" -> {
                Cipher c = Cipher.getInstance("RSA/ECB/OAEPPadding");
                c.init(Cipher.ENCRYPT_MODE, k.publicKey, oaepParameters(algorithm));
                return new byte[][] {c.doFinal(in.get(0))};
            }
            case "decrypt" -> {
                Cipher c = Cipher.getInstance("RSA/ECB/OAEPPadding");
                c.init(Cipher.DECRYPT_MODE, k.privateKey, oaepParameters(algorithm));
                try {
                    return new byte[][] {c.doFinal(in.get(0))};
                } catch (BadPaddingException | IllegalBlockSizeException e) {
                    throw new Refused();
                }
            }
            case "derive" -> {
                KeyAgreement a = KeyAgreement.getInstance("ECDH");
                a.init(k.privateKey);
                try {
                    a.doPhase(KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(in.get(0))), true);
                    return new byte[][] {a.generateSecret()};
                } catch (InvalidKeySpecException | InvalidKeyException e) {
                    throw new Refused();
                }
            }
            default -> throw new IllegalArgumentException(op);
        }
    }

    static byte[] parse(String field) {
        return field.equals("-") ? new byte[0] : HEX.parseHex(field);
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in), 1 << 16);
        BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out), 1 << 16);
        out.write("ready Java " + System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")\n");
        out.flush();
        for (String line; (line = in.readLine()) != null; ) {
            String[] f = line.trim().split(" ");
            String answer;
            try {
                if (f[0].equals("load")) {
                    KEYS.put(f[1], load(f[2], parse(f[3]), parse(f[4])));
                    answer = "ok";
                } else {
                    List<byte[]> fields = new ArrayList<>();
                    for (int i = 3; i < f.length; i++) fields.add(parse(f[i]));
                    StringBuilder b = new StringBuilder("ok");
                    for (byte[] o : run(f[0], f[1], KEYS.get(f[2]), fields)) b.append(' ').append(o.length == 0 ? "-" : HEX.formatHex(o));
                    answer = b.toString();
                }
            } catch (Refused e) {
                answer = "refused";
            } catch (Exception e) {
                answer = "error " + e;
            }
            out.write(answer);
            out.write('\n');
            if (line.endsWith(" ")) out.flush(); // the last of a batch
        }
    }
}
