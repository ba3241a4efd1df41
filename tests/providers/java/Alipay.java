import com.alipay.api.AlipayConfig;
import com.alipay.api.AlipayObject;
import com.alipay.api.AlipayRequest;
import com.alipay.api.AlipayResponse;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.domain.*;
import com.alipay.api.internal.mapping.ApiField;
import com.alipay.api.internal.util.AlipaySignature;
import com.alipay.api.internal.util.AntCertificationUtil;
import com.alipay.api.request.*;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.lang.reflect.Field;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.Charset;
import java.nio.charset.CharsetEncoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.function.Supplier;

/** What `alipay-sdk-java` does for a merchant, and the signatures that Alipay itself makes with the same code. */
class Alipay {
    private static final String RSA2 = "RSA2";

    /** A method of the gateway: its request, and the object that becomes its `biz_content`. */
    private record Method(Supplier<AlipayRequest<?>> request, Supplier<AlipayObject> model) {}

    private static final Map<String, Method> METHODS = Map.of(
        "alipay.trade.page.pay", new Method(AlipayTradePagePayRequest::new, AlipayTradePagePayModel::new),
        "alipay.trade.wap.pay", new Method(AlipayTradeWapPayRequest::new, AlipayTradeWapPayModel::new),
        "alipay.trade.app.pay", new Method(AlipayTradeAppPayRequest::new, AlipayTradeAppPayModel::new),
        "alipay.trade.precreate", new Method(AlipayTradePrecreateRequest::new, AlipayTradePrecreateModel::new),
        "alipay.trade.query", new Method(AlipayTradeQueryRequest::new, AlipayTradeQueryModel::new),
        "alipay.trade.close", new Method(AlipayTradeCloseRequest::new, AlipayTradeCloseModel::new),
        "alipay.trade.refund", new Method(AlipayTradeRefundRequest::new, AlipayTradeRefundModel::new),
        "alipay.trade.fastpay.refund.query",
        new Method(AlipayTradeFastpayRefundQueryRequest::new, AlipayTradeFastpayRefundQueryModel::new),
        "alipay.data.dataservice.bill.downloadurl.query",
        new Method(AlipayDataDataserviceBillDownloadurlQueryRequest::new,
            AlipayDataDataserviceBillDownloadurlQueryModel::new));

    private static final Map<String, DefaultAlipayClient> CLIENTS = new HashMap<>();

    static void addTo(Map<String, Driver.Command> commands) {
        commands.put("alipay.page", asked -> page(asked));
        commands.put("alipay.order_string", asked -> client(asked).sdkExecute(request(asked)).getBody());
        commands.put("alipay.call", asked -> call(asked));
        commands.put("alipay.check", asked -> check(asked));
        commands.put("alipay.check_text", asked -> AlipaySignature.rsaCheck(Driver.text(asked, "text"),
            Driver.text(asked, "sign"), Driver.text(asked, "public_key"), Driver.text(asked, "charset"), RSA2));
        commands.put("alipay.sign", asked -> AlipaySignature.rsaSign(Driver.text(asked, "text"),
            Driver.text(asked, "private_key"), Driver.text(asked, "charset"), RSA2));
        commands.put("alipay.notice", asked -> notice(asked));
        commands.put("alipay.serial", asked -> AlipaySignature.getCertSN(Driver.text(asked, "cert")));
        commands.put("alipay.root_serial", asked -> rootSerial(asked));
        commands.put("alipay.charset", asked -> charset(Driver.text(asked, "charset")));
    }

    /** A merchant's client; with `app_cert` in the command in certificate mode. */
    private static DefaultAlipayClient client(JsonObject asked) throws Exception {
        JsonObject account = asked.getAsJsonObject("account");
        DefaultAlipayClient found = CLIENTS.get(account.toString());
        if (found == null) {
            AlipayConfig config = new AlipayConfig();
            config.setServerUrl(Driver.text(account, "gateway"));
            config.setAppId(Driver.text(account, "app_id"));
            config.setPrivateKey(Driver.text(account, "private_key"));
            config.setCharset(Driver.text(account, "charset"));
            config.setFormat("json");
            config.setSignType(RSA2);
            if (account.has("app_cert")) {
                config.setAppCertPath(Driver.text(account, "app_cert"));
                config.setAlipayPublicCertPath(Driver.text(account, "alipay_cert"));
                config.setRootCertPath(Driver.text(account, "root_cert"));
            } else {
                config.setAlipayPublicKey(Driver.text(account, "public_key"));
            }
            found = new DefaultAlipayClient(config);
            CLIENTS.put(account.toString(), found);
        }
        return found;
    }

    private static AlipayRequest<?> request(JsonObject asked) throws Exception {
        Method method = METHODS.get(Driver.text(asked, "method"));
        AlipayRequest<?> request = method.request().get();
        request.setBizModel(filled(method.model().get(), asked.getAsJsonObject("content")));
        if (asked.has("notify_url")) {
            request.setNotifyUrl(Driver.text(asked, "notify_url"));
        }
        if (asked.has("return_url")) {
            request.setReturnUrl(Driver.text(asked, "return_url"));
        }
        return request;
    }

    /** The library's own object with these fields, by their names in the documents. */
    private static AlipayObject filled(AlipayObject model, JsonObject content) throws Exception {
        for (Map.Entry<String, JsonElement> one : content.entrySet()) {
            Field found = null;
            for (Field field : model.getClass().getDeclaredFields()) {
                ApiField named = field.getAnnotation(ApiField.class);
                found = named != null && named.value().equals(one.getKey()) ? field : found;
            }
            if (found == null) {
                throw new NoSuchFieldException(model.getClass().getSimpleName() + " has no " + one.getKey());
            }
            found.setAccessible(true);
            found.set(model, one.getValue().getAsString());
        }
        return model;
    }

    /** The form or the link with which the buyer's browser goes to Alipay. */
    private static String page(JsonObject asked) throws Exception {
        return client(asked).pageExecute(request(asked), Driver.text(asked, "http")).getBody();
    }

    /** A call of the gateway; the library throws if the answer's signature is wrong. */
    private static Object call(JsonObject asked) throws Exception {
        boolean certificates = asked.getAsJsonObject("account").has("app_cert");
        DefaultAlipayClient client = client(asked);
        AlipayRequest<?> request = request(asked);
        AlipayResponse answer = certificates ? client.certificateExecute(request) : client.execute(request);
        Map<String, Object> told = new TreeMap<>();
        told.put("success", answer.isSuccess());
        told.put("body", answer.getBody());
        told.put("read", read(answer));
        return told;
    }

    /** The texts of a typed answer, as a merchant's code gets them; Gson takes no class with two fields of one name. */
    private static Map<String, Object> read(AlipayResponse answer) throws Exception {
        Map<String, Object> told = new TreeMap<>();
        for (java.lang.reflect.Method getter : answer.getClass().getMethods()) {
            if (getter.getName().startsWith("get") && getter.getReturnType() == String.class) {
                String name = getter.getName().substring(3);
                told.put(name.substring(0, 1).toLowerCase() + name.substring(1), getter.invoke(answer));
            }
        }
        return told;
    }

    /** Whether a form is signed by this key (`rsaCheckV1`: a notice; V2: a request), and its decoded fields. */
    private static Object check(JsonObject asked) throws Exception {
        String charset = Driver.text(asked, "charset");
        Map<String, String> fields = decoded(Driver.text(asked, "form"), charset);
        Map<String, Object> told = new TreeMap<>();
        told.put("fields", new TreeMap<>(fields)); // the library removes sign and sign_type
        boolean notice = Driver.text(asked, "kind").equals("notice");
        if (asked.has("cert")) {
            String cert = Driver.text(asked, "cert");
            told.put("valid", notice ? AlipaySignature.rsaCertCheckV1(fields, cert, charset, RSA2)
                : AlipaySignature.rsaCertCheckV2(fields, cert, charset, RSA2));
        } else {
            String key = Driver.text(asked, "public_key");
            told.put("valid", notice ? AlipaySignature.rsaCheckV1(fields, key, charset, RSA2)
                : AlipaySignature.rsaCheckV2(fields, key, charset, RSA2));
        }
        return told;
    }

    /** A form as a servlet reads it. */
    private static Map<String, String> decoded(String form, String charset) throws Exception {
        Map<String, String> fields = new TreeMap<>();
        for (String pair : form.split("&")) {
            int equals = pair.indexOf('=');
            String name = URLDecoder.decode(pair.substring(0, equals), charset);
            if (fields.put(name, URLDecoder.decode(pair.substring(equals + 1), charset)) != null) {
                throw new IllegalArgumentException(name + " stands there twice");
            }
        }
        return fields;
    }

    /** The form of a notice with these fields, signed as `rsaCheckV1` wants it; `sign_with` RSA signs with SHA-1. */
    private static String notice(JsonObject asked) throws Exception {
        String charset = Driver.text(asked, "charset");
        Map<String, String> fields = Driver.texts(asked, "fields");
        String text = AlipaySignature.getSignCheckContentV1(new HashMap<>(fields));
        String kind = asked.has("sign_with") ? Driver.text(asked, "sign_with") : RSA2;
        fields.put("sign", AlipaySignature.rsaSign(text, Driver.text(asked, "private_key"), charset, kind));
        fields.put("sign_type", RSA2);
        StringJoiner form = new StringJoiner("&");
        for (Map.Entry<String, String> one : fields.entrySet()) {
            form.add(one.getKey() + "=" + URLEncoder.encode(one.getValue(), charset));
        }
        return form.toString();
    }

    /** The serial that stands for the root certificates in this file. */
    private static String rootSerial(JsonObject asked) throws Exception {
        return AntCertificationUtil.getRootCertSN(Files.readString(Path.of(Driver.text(asked, "root_cert"))));
    }

    /** The bytes, in hex, of every character that Java's charset has. */
    private static Object charset(String name) throws Exception {
        CharsetEncoder encoder = Charset.forName(name).newEncoder();
        Map<String, String> told = new TreeMap<>();
        for (char one = 0; one < Character.MAX_VALUE; one++) {
            if (!Character.isSurrogate(one) && encoder.canEncode(one)) {
                StringBuilder hex = new StringBuilder();
                for (byte part : String.valueOf(one).getBytes(name)) {
                    hex.append(String.format("%02x", part));
                }
                told.put(String.valueOf(one), hex.toString());
            }
        }
        return told;
    }
}
