// Public keys of token issuers and the signatures they check (RFC 7518 §3, RFC 8037 §3.1).
#ifndef ONCEGATE_COPENSSL_JWS_H
#define ONCEGATE_COPENSSL_JWS_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stddef.h>

// MARK: keys. NULL where there is none or it is no key; given back with EVP_PKEY_free.

// The key of a PEM file: SubjectPublicKeyInfo, or that of a certificate.
static inline EVP_PKEY *oncegate_jws_key_of_pem(const unsigned char *pem, int count) {
    BIO *bio = BIO_new_mem_buf(pem, count);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!key && (bio = BIO_new_mem_buf(pem, count))) {
        X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (certificate) key = X509_get_pubkey(certificate);
        X509_free(certificate);
        BIO_free(bio);
    }
    ERR_clear_error();
    return key;
}

static inline EVP_PKEY *oncegate_jws_key_of_parameters(const char *kind, OSSL_PARAM_BLD *builder) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (!parameters || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    ERR_clear_error();
    return key;
}

// Of a modulus and an exponent, big-endian.
static inline EVP_PKEY *oncegate_jws_rsa_key(const unsigned char *n, int n_count, const unsigned char *e,
                                             int e_count) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n, n_count, NULL), *exponent = BN_bin2bn(e, e_count, NULL);
    if (builder && modulus && exponent && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = oncegate_jws_key_of_parameters("RSA", builder);
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

// Of an uncompressed point of P-256: 4, x, y; 65 octets. One that is not on the curve is no key.
static inline EVP_PKEY *oncegate_jws_p256_key(const unsigned char *point) {
    EVP_PKEY *key = NULL;
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 65))
        key = oncegate_jws_key_of_parameters("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

// Of 32 octets.
static inline EVP_PKEY *oncegate_jws_ed25519_key(const unsigned char *octets) {
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, octets, 32);
    ERR_clear_error();
    return key;
}

static inline int oncegate_jws_is_rsa(const EVP_PKEY *key) { return EVP_PKEY_is_a(key, "RSA"); }
static inline int oncegate_jws_is_ed25519(const EVP_PKEY *key) { return EVP_PKEY_is_a(key, "ED25519"); }
static inline int oncegate_jws_is_p256(const EVP_PKEY *key) {
    char group[32];
    size_t count = 0;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &count) == 1 &&
           OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

// What libcrypto finds in a public key: a modulus with small factors, a point outside the group. Takes milliseconds.
static inline int oncegate_jws_is_sound(EVP_PKEY *key) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int is_sound = context && EVP_PKEY_public_check(context) == 1;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return is_sound;
}

// MARK: signatures

// 1 = the key's owner signed these octets. With `hashes`, their SHA-256; else (Ed25519) the octets themselves.
static inline int oncegate_jws_verifies(EVP_PKEY *key, int hashes, const unsigned char *signature,
                                        size_t signature_count, const unsigned char *octets, size_t count) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int is_good = context &&
                  EVP_DigestVerifyInit(context, NULL, hashes ? EVP_sha256() : NULL, NULL, key) == 1 &&
                  EVP_DigestVerify(context, signature, signature_count, octets, count) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return is_good;
}

// The same of an ECDSA signature in its JWS form: r and s, 32 octets each (RFC 7518 §3.4).
static inline int oncegate_jws_verifies_p256(EVP_PKEY *key, const unsigned char *r_and_s, const unsigned char *octets,
                                             size_t count) {
    unsigned char *der = NULL;
    int der_count = 0;
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(r_and_s, 32, NULL), *s = BN_bin2bn(r_and_s + 32, 32, NULL);
    if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
        // The signature owns them from here on.
        r = s = NULL;
        der_count = i2d_ECDSA_SIG(signature, &der);
    }
    int is_good = der_count > 0 && oncegate_jws_verifies(key, 1, der, (size_t)der_count, octets, count);
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return is_good;
}

// Takes the same time wherever they differ.
static inline int oncegate_equal_octets(const void *left, const void *right, size_t count) {
    return CRYPTO_memcmp(left, right, count) == 0;
}

#endif
