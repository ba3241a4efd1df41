// The same buyer in JavaScript: node buyer.js ADDRESS TOKEN SECRET TEXT_OF_9_1 TEXT_OF_3; see buyer.py.
'use strict';

const crypto = require('crypto');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, token, secret, nineOne, three] = process.argv.slice(2);

function stub(text, path) {
  const made = grpc.loadPackageDefinition(loader.loadSync(text, {keepCase: true, longs: String, defaults: true}));
  const Service = path.split('.').reduce((scope, name) => scope[name], made);
  return new Service(address, grpc.credentials.createInsecure());
}

function send(service, method, request, known) {
  const metadata = new grpc.Metadata();
  if (known) metadata.set('authorization', `Bearer ${token}`);
  return new Promise((resolve, reject) => {
    const options = {deadline: Date.now() + 10000};
    service[method](request, metadata, options, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

const call = (service, method, request) => send(service, method, request, true);

async function refused(service, method, request, known = true) {
  try {
    await send(service, method, request, known);
  } catch (error) {
    return grpc.status[error.code];
  }
  return 'OK';
}

async function specified(orders) {
  const place = {name: '张三', phone: '13800138000', province: '浙江省', detail: '文三路 100 号'};
  const create = (nums) => call(orders, 'CreateOrder', {
    user_id: 7, items: [{product_id: 101, quantity: nums}], address: place, remark: '放门口',
  });
  const order = await create(2);
  const sn = order.order_sn;
  const payment = await call(orders, 'PayOrder', {order_sn: sn, user_id: 7, payment_type: 1});
  const signed = `amount=${payment.amount.toFixed(2)}&order_sn=${sn}&payment_sn=${payment.payment_sn}`
    + '&payment_type=1&trade_no=T1';
  const notice = {
    order_sn: sn, payment_sn: payment.payment_sn, trade_no: 'T1', amount: payment.amount, payment_type: 1,
    sign: crypto.createHmac('sha256', secret).update(signed).digest('hex'),
  };
  const forged = await refused(orders, 'NotifyPayment', {
    order_sn: sn, payment_sn: payment.payment_sn, sign: '00',
  }, false);
  await send(orders, 'NotifyPayment', notice, false);
  const other = await create(1);
  await call(orders, 'CancelOrder', {order_sn: other.order_sn, user_id: 7, reason: '不要了'});
  const byId = await call(orders, 'GetOrder', {id: order.id, user_id: 7});
  const bySn = await call(orders, 'GetOrderByOrderSn', {order_sn: sn, user_id: 7});
  const listed = await call(orders, 'ListOrders', {user_id: 7, page: 1, page_size: 10});
  const info = await call(orders, 'GetPaymentInfo', {order_sn: sn, user_id: 7});
  const status = await call(orders, 'CheckOrderStatus', {order_sn: other.order_sn});
  const numbers = listed.orders.map((one) => one.order_sn);
  return {
    order_sn: sn,
    total: order.total_amount.toFixed(2),
    item: [order.items[0].product_name, order.items[0].quantity],
    created: Number(order.created_at.seconds) > 0,
    forged,
    paid: [byId.status, Number(byId.paid_at.seconds) > 0, info.status, info.amount.toFixed(2)],
    same: bySn.id === byId.id && byId.id === order.id,
    listed: [listed.total, numbers.join() === [other.order_sn, sn].join()],
    cancelled: status.status,
    unknown: await refused(orders, 'GetOrder', {id: 1, user_id: 7}),
    stranger: await refused(orders, 'GetOrder', {id: order.id}, false),
  };
}

async function chapterThree(shop) {
  await call(shop, 'AddShoppingCart', {goods_id: 101, nums: 1});
  await call(shop, 'AddShoppingCart', {goods_id: 109, nums: 2});
  await call(shop, 'UpdateCartItemCheck', {goods_id: 109, checked: false});
  const cart = await call(shop, 'GetShoppingCart', {id: 7});
  const order = await call(shop, 'CreateOrder', {name: '张三', mobile: '13800138000', address: '文三路 100 号'});
  const detail = await call(shop, 'OrderDetail', {order_sn: order.order_sn});
  const left = await call(shop, 'GetShoppingCart', {});
  return {
    cart: [cart.total, cart.checked_total_fen],
    order_sn: order.order_sn,
    total_fen: order.total_fen,
    goods: detail.goods.map((one) => one.goods_id),
    logs: detail.logs.map((one) => one.new_status),
    left: left.data.map((one) => one.goods_id),
    empty: await refused(shop, 'CreateOrder', {name: 'a', mobile: '13800138000', address: 'b'}),
  };
}

async function main() {
  const orders = stub(nineOne, 'order.OrderService');
  const shop = stub(three, 'shop.order.Order');
  const saw = {specified: await specified(orders), chapter_three: await chapterThree(shop)};
  console.log(JSON.stringify(saw));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
