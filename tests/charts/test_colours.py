from pipeline.charts.colours import setting_colours


def test_settings_have_colours_of_their_own() -> None:
    for count in (1, 7, 30):
        assert len(set(setting_colours(count, dark=False))) == count
