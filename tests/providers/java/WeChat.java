import com.google.gson.JsonObject;
import com.wechat.pay.java.core.Config;
import com.wechat.pay.java.core.RSAAutoCertificateConfig;
import com.wechat.pay.java.core.RSAPublicKeyConfig;
import com.wechat.pay.java.core.auth.Credential;
import com.wechat.pay.java.core.auth.Validator;
import com.wechat.pay.java.core.auth.WechatPay2Credential;
import com.wechat.pay.java.core.auth.WechatPay2Validator;
import com.wechat.pay.java.core.cipher.AeadAesCipher;
import com.wechat.pay.java.core.cipher.PrivacyDecryptor;
import com.wechat.pay.java.core.cipher.PrivacyEncryptor;
import com.wechat.pay.java.core.cipher.RSASigner;
import com.wechat.pay.java.core.cipher.RSAVerifier;
import com.wechat.pay.java.core.cipher.SignatureResult;
import com.wechat.pay.java.core.cipher.Signer;
import com.wechat.pay.java.core.http.DefaultHttpClientBuilder;
import com.wechat.pay.java.core.http.HttpClient;
import com.wechat.pay.java.core.http.HttpHeaders;
import com.wechat.pay.java.core.notification.NotificationConfig;
import com.wechat.pay.java.core.notification.NotificationParser;
import com.wechat.pay.java.core.notification.RSACombinedNotificationConfig;
import com.wechat.pay.java.core.notification.RequestParam;
import com.wechat.pay.java.core.util.GsonUtil;
import com.wechat.pay.java.core.util.IOUtil;
import com.wechat.pay.java.core.util.NonceUtil;
import com.wechat.pay.java.core.util.PemUtil;
import com.wechat.pay.java.service.billdownload.BillDownloadServiceExtension;
import com.wechat.pay.java.service.billdownload.DigestBillEntity;
import com.wechat.pay.java.service.billdownload.model.GetTradeBillRequest;
import com.wechat.pay.java.service.certificate.CertificateService;
import com.wechat.pay.java.service.payments.app.AppServiceExtension;
import com.wechat.pay.java.service.payments.h5.H5Service;
import com.wechat.pay.java.service.payments.jsapi.JsapiServiceExtension;
import com.wechat.pay.java.service.payments.model.Transaction;
import com.wechat.pay.java.service.payments.nativepay.NativePayService;
import com.wechat.pay.java.service.payments.nativepay.model.CloseOrderRequest;
import com.wechat.pay.java.service.payments.nativepay.model.QueryOrderByIdRequest;
import com.wechat.pay.java.service.payments.nativepay.model.QueryOrderByOutTradeNoRequest;
import com.wechat.pay.java.service.refund.RefundService;
import com.wechat.pay.java.service.refund.model.CreateRequest;
import com.wechat.pay.java.service.refund.model.QueryByOutRefundNoRequest;
import com.wechat.pay.java.service.refund.model.RefundNotification;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import okhttp3.HttpUrl;
import okhttp3.Interceptor;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Protocol;
import okhttp3.Response;
import okhttp3.ResponseBody;

/** What `wechatpay-java` does for a merchant, and the signatures and ciphers of WeChat Pay by the same code. */
class WeChat {
    private static final String HOST = "api.mch.weixin.qq.com";
    private static final Map<String, Config> CONFIGS = new HashMap<>();

    static void addTo(Map<String, Driver.Command> commands) {
        commands.put("wechat.prepay", asked -> prepay(asked, config(asked), client(asked)));
        commands.put("wechat.query", asked -> service(asked).queryOrderByOutTradeNo(
            request(asked, QueryOrderByOutTradeNoRequest.class)));
        commands.put("wechat.query_by_id", asked -> service(asked).queryOrderById(
            request(asked, QueryOrderByIdRequest.class)));
        commands.put("wechat.close", asked -> {
            service(asked).closeOrder(request(asked, CloseOrderRequest.class));
            return "closed";
        });
        commands.put("wechat.refund", asked -> refunds(asked).create(request(asked, CreateRequest.class)));
        commands.put("wechat.query_refund", asked -> refunds(asked).queryByOutRefundNo(
            request(asked, QueryByOutRefundNoRequest.class)));
        commands.put("wechat.bill", asked -> bill(asked));
        commands.put("wechat.certificates", asked -> certificates(asked));
        commands.put("wechat.read_notice", asked -> readNotice(asked));
        commands.put("wechat.notice", asked -> notice(asked));
        commands.put("wechat.sign", asked -> signed(asked, Driver.text(asked, "body")));
        commands.put("wechat.encrypt", asked -> encrypted(asked, Driver.text(asked, "text")));
        commands.put("wechat.check_request", asked -> checkRequest(asked));
        commands.put("wechat.check_pay_sign", asked -> checkPaySign(asked));
    }

    // ---- a merchant's calls ----

    /** A merchant's configuration; anything new in `account` makes a new one, which fetches the certificates. */
    private static Config config(JsonObject asked) throws Exception {
        JsonObject account = asked.getAsJsonObject("account");
        Config found = CONFIGS.get(account.toString());
        if (found == null) {
            found = account.has("public_key") ? byPublicKey(account) : byCertificates(account);
            CONFIGS.put(account.toString(), found);
        }
        return found;
    }

    private static Config byPublicKey(JsonObject account) {
        return new RSAPublicKeyConfig.Builder()
            .merchantId(Driver.text(account, "mch_id"))
            .privateKey(Driver.text(account, "private_key"))
            .merchantSerialNumber(Driver.text(account, "serial"))
            .apiV3Key(Driver.text(account, "api_v3_key"))
            .publicKey(Driver.text(account, "public_key"))
            .publicKeyId(Driver.text(account, "public_key_id"))
            .build();
    }

    private static Config byCertificates(JsonObject account) {
        return new RSAAutoCertificateConfig.Builder()
            .merchantId(Driver.text(account, "mch_id"))
            .privateKey(Driver.text(account, "private_key"))
            .merchantSerialNumber(Driver.text(account, "serial"))
            .apiV3Key(Driver.text(account, "api_v3_key"))
            .httpClientBuilder(new DefaultHttpClientBuilder().okHttpClient(okHttp(account)))
            .build();
    }

    /** Leads what is meant for WeChat to the gateway of the account, after the library has signed it. */
    private static OkHttpClient okHttp(JsonObject account) {
        String gateway = Driver.text(account, "gateway");
        return new OkHttpClient.Builder().addInterceptor(chain -> {
            HttpUrl url = chain.request().url();
            if (url.host().equals(HOST)) {
                String query = url.encodedQuery() == null ? "" : "?" + url.encodedQuery();
                url = HttpUrl.get(gateway + url.encodedPath() + query);
            }
            return chain.proceed(chain.request().newBuilder().url(url).build());
        }).build();
    }

    private static HttpClient client(JsonObject asked) throws Exception {
        return new DefaultHttpClientBuilder().config(config(asked))
            .okHttpClient(okHttp(asked.getAsJsonObject("account"))).build();
    }

    private static <T> T request(JsonObject asked, Class<T> kind) {
        return GsonUtil.getGson().fromJson(asked.get("request"), kind);
    }

    private static Object prepay(JsonObject asked, Config config, HttpClient client) throws Exception {
        switch (Driver.text(asked, "kind")) {
            case "native":
                return service(asked).prepay(
                    request(asked, com.wechat.pay.java.service.payments.nativepay.model.PrepayRequest.class));
            case "h5":
                return new H5Service.Builder().httpClient(client).build().prepay(
                    request(asked, com.wechat.pay.java.service.payments.h5.model.PrepayRequest.class));
            case "app":
                return new AppServiceExtension.Builder().config(config).httpClient(client).build()
                    .prepayWithRequestPayment(
                        request(asked, com.wechat.pay.java.service.payments.app.model.PrepayRequest.class));
            default:
                return new JsapiServiceExtension.Builder().config(config).httpClient(client).build()
                    .prepayWithRequestPayment(
                        request(asked, com.wechat.pay.java.service.payments.jsapi.model.PrepayRequest.class));
        }
    }

    private static NativePayService service(JsonObject asked) throws Exception {
        return new NativePayService.Builder().httpClient(client(asked)).build();
    }

    private static RefundService refunds(JsonObject asked) throws Exception {
        return new RefundService.Builder().httpClient(client(asked)).build();
    }

    /** A day's bill, and whether its bytes have the hash that was announced. */
    private static Object bill(JsonObject asked) throws Exception {
        DigestBillEntity found = new BillDownloadServiceExtension.Builder().config(config(asked))
            .httpClient(client(asked)).build().getTradeBill(request(asked, GetTradeBillRequest.class));
        String text = IOUtil.toString(found.getInputStream());
        return Map.of("text", text, "hash_is_right", found.verifyHash());
    }

    /** The serials of the platform's certificates. */
    private static Object certificates(JsonObject asked) throws Exception {
        byte[] key = Driver.text(asked.getAsJsonObject("account"), "api_v3_key").getBytes(StandardCharsets.UTF_8);
        List<X509Certificate> found =
            new CertificateService.Builder().httpClient(client(asked)).build().downloadCertificate(key);
        return found.stream().map(PemUtil::getSerialNumber).collect(Collectors.toList());
    }

    // ---- notices ----

    /** A notice as a merchant reads it. */
    private static Object readNotice(JsonObject asked) throws Exception {
        Map<String, String> headers = Driver.texts(asked, "headers");
        RequestParam sent = new RequestParam.Builder()
            .serialNumber(headers.get("wechatpay-serial"))
            .nonce(headers.get("wechatpay-nonce"))
            .signature(headers.get("wechatpay-signature"))
            .timestamp(headers.get("wechatpay-timestamp"))
            .body(Driver.text(asked, "body"))
            .build();
        NotificationConfig config = asked.getAsJsonObject("account").has("combined") ? byEither(asked)
            : (NotificationConfig) config(asked);
        NotificationParser parser = new NotificationParser(config);
        boolean refund = Driver.text(asked, "kind").equals("refund");
        return refund ? parser.parse(sent, RefundNotification.class) : parser.parse(sent, Transaction.class);
    }

    /** For the time of a change from certificates to the public key. */
    private static NotificationConfig byEither(JsonObject asked) throws Exception {
        JsonObject account = asked.getAsJsonObject("account");
        return new RSACombinedNotificationConfig.Builder()
            .merchantId(Driver.text(account, "mch_id"))
            .privateKey(Driver.text(account, "private_key"))
            .merchantSerialNumber(Driver.text(account, "serial"))
            .apiV3Key(Driver.text(account, "api_v3_key"))
            .httpClient(new DefaultHttpClientBuilder().credential(config(asked).createCredential())
                .validator(new Trusting()).okHttpClient(okHttp(account)).build())
            .publicKey(Driver.text(account, "public_key"))
            .publicKeyId(Driver.text(account, "public_key_id"))
            .build();
    }

    /** A notice about `text` as WeChat sends it: encrypted, then signed. */
    private static Object notice(JsonObject asked) throws Exception {
        JsonObject notice = asked.getAsJsonObject("notice").deepCopy();
        notice.add("resource", Driver.GSON.toJsonTree(encrypted(asked, Driver.text(asked, "text"))));
        return signed(asked, Driver.GSON.toJson(notice));
    }

    private static Map<String, Object> encrypted(JsonObject asked, String text) {
        String nonce = NonceUtil.createNonce(12);
        String associated = Driver.text(asked, "associated_data");
        AeadAesCipher cipher =
            new AeadAesCipher(Driver.text(asked, "api_v3_key").getBytes(StandardCharsets.UTF_8));
        Map<String, Object> made = new TreeMap<>();
        made.put("algorithm", "AEAD_AES_256_GCM");
        made.put("ciphertext", cipher.encrypt(associated.getBytes(StandardCharsets.UTF_8),
            nonce.getBytes(StandardCharsets.UTF_8), text.getBytes(StandardCharsets.UTF_8)));
        made.put("nonce", nonce);
        made.put("associated_data", associated);
        if (asked.has("original_type")) {
            made.put("original_type", Driver.text(asked, "original_type"));
        }
        return made;
    }

    /** The body with WeChat's headers: signed by the platform's key, and checked by the library's own validator. */
    private static Object signed(JsonObject asked, String body) throws Exception {
        long now = asked.has("timestamp") ? asked.get("timestamp").getAsLong() : Instant.now().getEpochSecond();
        String nonce = NonceUtil.createNonce(32), serial = Driver.text(asked, "serial");
        Signer signer = new RSASigner(serial, PemUtil.loadPrivateKeyFromString(Driver.text(asked, "private_key")));
        String signature = signer.sign(now + "\n" + nonce + "\n" + body + "\n").getSign();
        HttpHeaders headers = new HttpHeaders();
        headers.addHeader("Wechatpay-Timestamp", String.valueOf(now));
        headers.addHeader("Wechatpay-Nonce", nonce);
        headers.addHeader("Wechatpay-Serial", serial);
        headers.addHeader("Wechatpay-Signature", signature);
        RSAVerifier verifier =
            new RSAVerifier(PemUtil.loadPublicKeyFromString(Driver.text(asked, "public_key")), serial);
        if (!asked.has("timestamp") && !new WechatPay2Validator(verifier).validate(headers, body)) {
            throw new IllegalStateException("the library does not verify what it signed");
        }
        return Map.of("headers", headers.getHeaders(), "body", body);
    }

    // ---- what our channel signed ----

    /** Keeps the text that the library would sign. */
    private static final class Keeping implements Signer {
        private String text = "";

        @Override
        public SignatureResult sign(String message) {
            text = message;
            return new SignatureResult("none", "none");
        }

        @Override
        public String getAlgorithm() {
            return "SHA256-RSA2048";
        }
    }

    /** Whether a request's Authorization is right for the text that the library signs for such a request. */
    private static Object checkRequest(JsonObject asked) throws Exception {
        Map<String, String> ours = Driver.texts(asked, "authorization");
        Keeping keeping = new Keeping();
        Credential credential = new WechatPay2Credential(ours.get("mchid"), keeping);
        credential.getAuthorization(
            new URI("https://" + HOST + Driver.text(asked, "path")), Driver.text(asked, "method"), Driver.text(asked, "body"));
        String[] lines = keeping.text.split("\n", 5); // method, path, time, nonce, body
        lines[2] = ours.get("timestamp");
        lines[3] = ours.get("nonce_str");
        return Map.of("scheme", credential.getSchema(), "valid",
            verified(asked, String.join("\n", lines), ours.get("signature")));
    }

    /** Whether `ours`, the parameters for the buyer's WeChat, has the signature that the library's text needs. */
    private static Object checkPaySign(JsonObject asked) throws Exception {
        Map<String, String> ours = Driver.texts(asked, "ours");
        Keeping keeping = new Keeping();
        Interceptor answering = chain -> new Response.Builder().request(chain.request()).protocol(Protocol.HTTP_1_1)
            .code(200).message("OK").body(ResponseBody.create(MediaType.get("application/json; charset=utf-8"),
                Driver.GSON.toJson(Map.of("prepay_id", ours.get("prepay_id"))))).build();
        Config config = new SigningWith(keeping);
        HttpClient client = new DefaultHttpClientBuilder().config(config)
            .okHttpClient(new OkHttpClient.Builder().addInterceptor(answering).build()).build();
        Object parameters = prepay(asked, config, client);
        String[] lines = keeping.text.split("\n", -1); // app id, time, nonce, package or prepay id, and an empty one
        lines[1] = ours.get("timestamp");
        lines[2] = ours.get("nonce_str");
        return Map.of("parameters", parameters, "valid",
            verified(asked, String.join("\n", lines), ours.get("signature")));
    }

    private static boolean verified(JsonObject asked, String text, String signature) {
        String serial = "ours";
        return new RSAVerifier(PemUtil.loadPublicKeyFromString(Driver.text(asked, "public_key")), serial)
            .verify(serial, text, signature);
    }

    /** Accepts every answer: that of this test, or of certificates, which are encrypted for us. */
    private static final class Trusting implements Validator {
        @Override
        public <T> boolean validate(HttpHeaders headers, String body) {
            return true;
        }

        @Override
        public <T> String getSerialNumber() {
            return "any";
        }
    }

    /** A configuration whose signer keeps what it should sign. */
    private record SigningWith(Signer signer) implements Config {
        @Override
        public PrivacyEncryptor createEncryptor() {
            throw new UnsupportedOperationException();
        }

        @Override
        public PrivacyDecryptor createDecryptor() {
            throw new UnsupportedOperationException();
        }

        @Override
        public Credential createCredential() {
            return new WechatPay2Credential("1", signer);
        }

        @Override
        public Validator createValidator() {
            return new Trusting();
        }

        @Override
        public Signer createSigner() {
            return signer;
        }
    }
}
