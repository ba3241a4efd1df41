"""The initial data of a sandbox: a small catalogue, two buyers, an admin; more goods for benchmarks."""

from collections.abc import Iterator

from shop_sandbox.goods import Article
from shop_sandbox.users import DemoAddress, DemoUser

BENCH_FIRST_ID = 10_001

_CATALOGUE = (
    # id, name, price in fen, weight in g, stock, emblem
    (101, "龙井茶 明前特级 250g", 16_800, 350, 200, "茶"),
    (102, "景德镇青花瓷茶杯", 8_900, 420, 120, "瓷"),
    (103, "苏绣团扇 荷塘月色", 12_550, 180, 80, "扇"),
    (104, "徽墨宣纸文房套装", 23_900, 1_600, 60, "墨"),
    (105, "机械键盘 87 键 茶轴", 39_900, 980, 150, "键"),
    (106, "无线降噪耳机", 69_900, 260, 100, "音"),
    (107, "双肩电脑包 20L", 19_999, 900, 90, "包"),
    (108, "山东阿胶糕 礼盒装", 15_000, 600, 70, "胶"),
    (109, "手工竹编收纳篮", 4_590, 500, 300, "竹"),
    (110, "一分钱试用装 洗手液", 1, 100, 1_000, "试"),
    (111, "限量陶瓷花瓶（仅 3 件）", 5_999, 1_200, 3, "瓶"),
    (112, "紫檀木书桌 大师手作", 12_888_800, 48_000, 5, "桌"),
    (113, "已下架的旧款台灯", 9_900, 1_500, 40, "灯"),
    (114, "已删除的商品", 1_000, 100, 10, "删"),
)

OFF_SALE_ID = 113
DELETED_ID = 114
EXPENSIVE_ID = 112
LOW_STOCK_ID = 111


def catalogue() -> list[Article]:
    """Goods 101–114: 111 has 3 in stock, 112 is expensive, 113 is off sale, 114 is deleted."""
    return [
        Article(
            id=goods_id,
            name=name,
            image=f"/images/{goods_id}.svg",
            price_fen=price_fen,
            on_sale=goods_id not in (OFF_SALE_ID, DELETED_ID),
            weight_g=weight_g,
            deleted=goods_id == DELETED_ID,
        )
        for goods_id, name, price_fen, weight_g, _, _ in _CATALOGUE
    ]


def stock() -> list[tuple[int, int]]:
    """(goods_id, available) of the catalogue."""
    return [(row[0], row[4]) for row in _CATALOGUE]


def emblem(goods_id: int) -> str:
    """The character shown on the image of these goods."""
    return next((row[5] for row in _CATALOGUE if row[0] == goods_id), "货")


def bench_goods(count: int) -> Iterator[Article]:
    """Goods 10001 and on, from 1.00 to 100.99 yuan, for benchmarks."""
    for number in range(count):
        goods_id = BENCH_FIRST_ID + number
        yield Article(
            id=goods_id,
            name=f"压测商品 {goods_id}",
            image=f"/images/{goods_id}.svg",
            price_fen=100 + number * 37 % 10_000,
            weight_g=100 + number % 900,
        )


def bench_stock(count: int, available: int) -> Iterator[tuple[int, int]]:
    """(goods_id, available) for bench_goods."""
    return ((BENCH_FIRST_ID + number, available) for number in range(count))


def users() -> list[DemoUser]:
    """Buyers 7 and 8 with addresses and a balance, admin 1."""
    return [
        DemoUser(1, "管理员", role="admin"),
        DemoUser(
            7,
            "张三",
            balance_fen=100_000,
            addresses=(
                DemoAddress(
                    71, "张三", "13800138000", "浙江省", "杭州市", "西湖区", "文三路 100 号", is_default=True
                ),
                DemoAddress(72, "张三", "13800138000", "上海市", "上海市", "浦东新区", "世纪大道 8 号"),
            ),
        ),
        DemoUser(
            8,
            "李四",
            balance_fen=50_000,
            addresses=(
                DemoAddress(
                    81, "李四", "13900139000", "广东省", "深圳市", "南山区", "科技园路 1 号", is_default=True
                ),
            ),
        ),
    ]
